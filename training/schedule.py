"""The learning rate over the epochs."""

from __future__ import annotations

import math

from training.settings import ScheduleOptions


def total_epochs(options: ScheduleOptions) -> int:
    """Return the number of the last epoch."""
    return options.n_epochs + options.n_epochs_decay


def rate_factor(options: ScheduleOptions, epoch: int) -> float:
    """Return the factor on the initial rate in ``epoch`` (from 1) for the policies that depend on the epoch alone.

    ``linear`` is constant for n_epochs, then falls by equal steps that would reach zero one epoch after the last;
    ``step`` divides by 10 every lr_decay_iters epochs; ``cosine`` falls from 1 to zero over the whole training
    (Loshchilov and Hutter 2017, arXiv:1608.03983).
    """
    if options.lr_policy == "linear":
        return 1 - max(0, epoch - options.n_epochs) / (options.n_epochs_decay + 1)
    if options.lr_policy == "step":
        return 0.1 ** ((epoch - 1) // options.lr_decay_iters)
    return 0.5 * (1 + math.cos(math.pi * (epoch - 1) / max(1, options.n_epochs + options.n_epochs_decay)))


class Schedule:
    """The rate factor of every epoch; ``plateau`` divides by 5 after 5 epochs without 1 % less generator loss."""

    patience, threshold, shrink = 5, 0.01, 0.2

    def __init__(self, options: ScheduleOptions) -> None:
        self.options = options
        self.state: dict[str, float] = {"factor": 1.0, "best": math.inf, "stale": 0}

    def factor(self, epoch: int) -> float:
        """Return the factor on the initial rate in ``epoch``, from 1."""
        return self.state["factor"] if self.options.lr_policy == "plateau" else rate_factor(self.options, epoch)

    def epoch_end(self, loss: float) -> None:
        """Take the mean generator loss of an epoch; only ``plateau`` looks at it."""
        best = self.state["best"]
        improved = math.isinf(best) or loss < best - self.threshold * abs(best)  # a Wasserstein loss can be negative
        self.state |= {"best": loss, "stale": 0} if improved else {"stale": self.state["stale"] + 1}
        if self.state["stale"] > self.patience:
            self.state |= {"factor": self.state["factor"] * self.shrink, "stale": 0}
