"""Flags of the training engine; no torch here, so that --help stays fast."""

from __future__ import annotations

from dataclasses import dataclass

from util.option import option


@dataclass(frozen=True)
class OptimizerOptions:
    """Adam as in the paper."""

    lr: float = option(0.0002, "initial learning rate of Adam", minimum=0)
    beta1: float = option(0.5, "momentum term of Adam", minimum=0, maximum=0.999)
    pool_size: int = option(50, "how many generated images the discriminators' history holds; 0 for none", minimum=0)


@dataclass(frozen=True)
class ScheduleOptions:
    """How long to train, and the learning rate over the epochs."""

    n_epochs: int = option(100, "epochs at the initial learning rate", minimum=0)
    n_epochs_decay: int = option(100, "epochs over which the linear policy brings the rate to zero", minimum=0)
    lr_policy: str = option("linear", "learning rate over the epochs", choices=("linear", "step", "plateau", "cosine"))
    lr_decay_iters: int = option(50, "the step policy divides the rate by 10 every so many epochs", minimum=1)
    epoch_count: int = option(1, "number of the first epoch; --continue_train sets it by itself", minimum=1)
    max_steps: int | None = option(
        None, "stop after this many update steps in all, saved and ready to go on", "session", minimum=1
    )


@dataclass(frozen=True)
class SaveOptions:
    """When to save, and whether to go on from what was saved."""

    continue_train: bool = option(False, "go on where the run stopped, everything restored", "session")
    save_latest_freq: int = option(5000, "save 'latest' every so many images", "session", minimum=1)
    save_epoch_freq: int = option(5, "keep the weights of every so many epochs", "session", minimum=1)
    save_by_iter: bool = option(False, "keep the weights of each save as iter_N instead of latest", "session")
