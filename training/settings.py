"""Flags of the training engine; no torch here, so that --help stays fast."""

from __future__ import annotations

from dataclasses import dataclass

from util.option import option


@dataclass(frozen=True)
class OptimizerOptions:
    """From gradients to weights; the defaults are the papers' Adam."""

    optimizer: str = option("adam", "how gradients become weights", choices=("adam", "adamw"))
    lr: float = option(0.0002, "initial learning rate", minimum=0)
    lr_D: float | None = option(None, "initial learning rate of the discriminators; none: --lr", minimum=0)
    beta1: float = option(0.5, "momentum term of Adam", minimum=0, maximum=0.999)
    beta2: float = option(0.999, "decay of Adam's second moment", minimum=0, maximum=0.99999)
    weight_decay: float = option(
        0.0, "L2 penalty of adam, decoupled decay of adamw; not of biases and norms", minimum=0
    )
    weight_l1: float = option(0.0, "L1 penalty of the weights, not of biases and norms", minimum=0)
    clip_grad: float = option(0.0, "largest norm of each player's gradient; 0 does not clip", minimum=0)
    agc: float = option(0.0, "adaptive gradient clipping by this factor, such as 0.01; 0 does not clip", minimum=0)
    d_steps: int = option(1, "the generators learn in every so many steps, the discriminators in each", minimum=1)
    pool_size: int = option(50, "how many generated images the discriminators' history holds; 0 for none", minimum=0)
    ema_decay: float = option(
        0.0, "keep running averages of the generators' weights, such as 0.999; 0 keeps none", minimum=0, maximum=0.99999
    )


@dataclass(frozen=True)
class StepOptions:
    """How a step copes with little memory and bad numbers."""

    accumulate: int = option(1, "compute each batch in so many parts, one after the other, to save memory", minimum=1)
    checkpoint_activations: bool = option(False, "compute activations twice instead of keeping them, to save memory")
    on_nan: str = option(
        "skip",
        "when a gradient is not finite or explodes: skip that player's update, rollback the whole step, or stop",
        choices=("skip", "rollback", "stop"),
    )
    nan_patience: int = option(20, "stop after so many such steps in a row", minimum=1)


@dataclass(frozen=True)
class ScheduleOptions:
    """How long to train, and the learning rate on the way."""

    n_epochs: int = option(100, "epochs at the initial learning rate", minimum=0)
    n_epochs_decay: int = option(100, "epochs over which the linear policy brings the rate to zero", minimum=0)
    time_budget: str | None = option(
        None,
        "train for this time in all, such as 36h, 90m or 5400s, instead of a number of epochs: the learning rate "
        "follows the clock, n_epochs and n_epochs_decay give its shape, and the run ends saved",
    )
    lr_policy: str = option(
        "linear",
        "learning rate over the epochs; plateau has patience for 5 validations in a row without 1 % better "
        "--best_metric and divides it by 5 at the sixth; where nothing is validated it looks at each epoch's generator "
        "loss",
        choices=("linear", "step", "plateau", "cosine"),
    )
    lr_decay_iters: int = option(50, "the step policy divides the rate by 10 every so many epochs", minimum=1)
    lr_milestones: tuple[str, ...] = option(
        (), "update steps, by commas, after each of which the rate is multiplied by --lr_gamma, whatever the policy"
    )
    lr_gamma: float = option(0.1, "factor of the rate at each of --lr_milestones", minimum=0, maximum=1)
    warmup_steps: int = option(0, "update steps over which the rate rises from zero at the start", minimum=0)
    epoch_count: int = option(1, "number of the first epoch; --continue_train sets it by itself", minimum=1)
    max_steps: int | None = option(
        None, "stop after this many update steps in all, saved and ready to go on", "session", minimum=1
    )


@dataclass(frozen=True)
class SaveOptions:
    """When to save, and whether to go on from what was saved."""

    continue_train: bool = option(False, "go on where the run stopped, everything restored", "session")
    save_latest_freq: int = option(5000, "save 'latest' every so many images", minimum=1)
    save_epoch_freq: int = option(5, "keep the weights of every so many epochs", minimum=1)
    save_by_iter: bool = option(False, "keep the weights of each save as iter_N instead of latest")
    keep_checkpoints: int | None = option(
        None,
        "keep the weights of only the newest so many epochs (and iter_N), beside latest and best; inf for all",
        minimum=1,
    )


BEST_METRICS = ("psnr", "ssim", "ms_ssim", "rmse", "mae", "lpips", "psnr_y", "ssim_y", "accuracy")


@dataclass(frozen=True)
class ValidationOptions:
    """Measuring on the val split while training, and what follows from it."""

    val_freq: int | None = option(
        None,
        "epochs between two validations, 0 for none; left out, every 5 epochs when the data has a val split apart from "
        "the test split. The last epoch is always validated too",
        minimum=0,
    )
    val_images: int | None = option(None, "validate on the first so many images; inf for all", minimum=1)
    best_metric: str = option(
        "psnr",
        "which metric on the val split decides what best_net_*.pth holds, and when to stop early; ms_ssim needs images "
        "of more than 160 pixels a side",
        choices=BEST_METRICS,
    )
    early_stop: int = option(0, "stop after so many validations in a row without a better one; 0 for never", minimum=0)
    lpips_weights: str | None = option(
        None, "LPIPS weights, by path, URL or hub name; without them torchvision's cached ones"
    )


@dataclass(frozen=True)
class StartOptions:
    """Beginning from other weights, and with small images."""

    init_from: str | None = option(
        None,
        "start from the weights of this run (name or folder) or file (path, URL or hub name), "
        "as far as names and shapes agree",
    )
    prune_from: str | None = option(
        None,
        "start from the most important channels of the generators of this run (name or folder), which is the same but "
        "for wider networks",
    )
    freeze: tuple[str, ...] = option(
        (), "patterns of weights that stay as they are, by commas, such as 'G.model.model.0*,D.*'"
    )
    progressive_sizes: tuple[str, ...] = option(
        (), "crop sizes over equal parts of the epochs, such as 192,256,320; the last one should be --crop_size"
    )
    progressive_weight_decay: tuple[str, ...] = option(
        (), "weight decay of each of --progressive_sizes, which should grow with them, such as 0,1e-5,1e-4"
    )
