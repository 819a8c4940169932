"""The learning rate over the epochs and steps."""

from __future__ import annotations

import math

from training.settings import ScheduleOptions
from util.errors import UserError


def total_epochs(options: ScheduleOptions) -> int:
    """Return the number of the last epoch."""
    return options.n_epochs + options.n_epochs_decay


def milestones(options: ScheduleOptions) -> tuple[int, ...]:
    """Return ``--lr_milestones`` as numbers of steps; UserError when they are none."""
    try:
        steps = tuple(int(text) for text in options.lr_milestones if text)
    except ValueError:
        steps = (0,)
    if any(step < 1 for step in steps):
        raise UserError(
            f"--lr_milestones {','.join(options.lr_milestones)}: give numbers of update steps, such as 10000,20000"
        )
    return steps


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
    return 0.5 * (1 + math.cos(math.pi * (epoch - 1) / max(1, total_epochs(options))))


def clock_factor(options: ScheduleOptions, share: float) -> float:
    """Return the same for a share of the training, 0 to 1, where a time budget takes the place of epochs.

    Linear and cosine fall without steps, and are zero at 1.
    """
    done = share * total_epochs(options)
    if options.lr_policy == "linear":
        return 1 - max(0, done - options.n_epochs) / max(1, options.n_epochs_decay)
    if options.lr_policy == "step":
        return 0.1 ** (done // options.lr_decay_iters)
    return 0.5 * (1 + math.cos(math.pi * share))


class Schedule:
    """The rate factor of every step: the policy's, times that of the warm-up and of the milestones passed.

    ``plateau`` has patience for 5 values in a row that are not 1 % better than the best before, and divides by 5 at the
    sixth, as torch's ReduceLROnPlateau(factor=0.2, patience=5, threshold=0.01).
    """

    patience, threshold, shrink = 5, 0.01, 0.2

    def __init__(self, options: ScheduleOptions) -> None:
        self.options, self._milestones = options, milestones(options)
        self.state: dict[str, float] = {"factor": 1.0, "best": math.inf, "stale": 0}

    def factor(self, epoch: int, step: int, share: float | None = None) -> float:
        """Return the factor on the initial rate.

        Args:
            epoch: from 1.
            step: number of update steps done before, from 0.
            share: of the time budget used up; it takes the place of the epoch.
        """
        warm_up = min(1.0, (step + 1) / max(1, self.options.warmup_steps))
        passed = sum(step >= milestone for milestone in self._milestones)
        return self._policy(epoch, share) * warm_up * self.options.lr_gamma**passed

    def _policy(self, epoch: int, share: float | None) -> float:
        if self.options.lr_policy == "plateau":
            return self.state["factor"]
        return rate_factor(self.options, epoch) if share is None else clock_factor(self.options, share)

    def observe(self, cost: float) -> None:
        """Take a validation's result or an epoch's mean generator loss, less being better; only plateau looks."""
        best = self.state["best"]
        improved = best == math.inf or cost < best - self.threshold * abs(best)  # a Wasserstein loss can be negative
        self.state |= {"best": cost, "stale": 0} if improved else {"stale": self.state["stale"] + 1}
        if self.state["stale"] > self.patience:
            self.state |= {"factor": self.state["factor"] * self.shrink, "stale": 0}
