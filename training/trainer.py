"""The training loop: batches in order, one update step each, saving, validating and telling on the way."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Sized
from typing import Any, Protocol

from models.base import Batch
from training.checkpoint import load_state, remove_unfinished
from training.loggers import LoggerGroup, Position, Times
from training.rehearsal import step_seconds
from training.reports import Ends, Reporter, RunningMeans
from training.saving import Saver
from training.schedule import Schedule, total_epochs
from training.settings import ScheduleOptions
from training.signals import StopRequest
from training.time_budget import TimeBudget
from training.update import Updater
from training.validation import Validations
from util.errors import UnfinishedStep, UserError


class Loader(Protocol):
    """Batches of an epoch, the same for the same epoch number, from any batch on."""

    @property
    def dataset(self) -> Sized:
        """The training images."""

    def epoch(self, epoch: int, offset: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` (from 1), leaving out the first ``offset`` samples."""


class Trainer:
    """Everything a training needs, advanced by :meth:`fit`.

    Args:
        updater: the update step, which holds the model.
        loader: of the training split.
        options: epochs and learning rate.
        saver: writes the run.
        reporter: tells the loggers.
        validations: of the val split; None for none.
        budget: of time; None to train for the epochs that ``options`` give.
    """

    def __init__(
        self,
        updater: Updater,
        loader: Loader,
        options: ScheduleOptions,
        saver: Saver,
        reporter: Reporter,
        validations: Validations | None = None,
        budget: TimeBudget | None = None,
    ) -> None:
        self.updater, self.loader, self.options = updater, loader, options
        self.saver, self.reporter = saver, reporter
        self.validations, self.budget = validations, budget
        self.schedule = Schedule(options)
        self.means = RunningMeans()
        self.position = Position(epoch=options.epoch_count)
        self._due: tuple[str, ...] = ()

    def fit(self, loggers: LoggerGroup) -> int:
        """Train to the end, or until a stop request or ``max_steps``; return the exit code.

        The run is saved whenever this returns, and can go on from there.
        """
        self.reporter.loggers = loggers
        with StopRequest() as stop:
            try:
                while not (self._stops(stop) or self.is_done):
                    self._train_epoch(stop)
                self._finish(interrupted=bool(stop.signal))
            except UnfinishedStep:
                raise
            except UserError:  # a file that cannot be read must not cost the steps since the last save
                self._save("latest")
                raise
        return stop.exit_code

    def _stops(self, stop: StopRequest) -> bool:
        """Return whether a signal has reached any of the processes; all of them stop then."""
        if self.updater.ranks.any(bool(stop.signal)):
            stop.signal = stop.signal or signal.SIGTERM
        return bool(stop.signal)

    @property
    def is_complete(self) -> bool:
        """Whether nothing remains to be trained: no epoch, no time, or no hope of a better validation."""
        if self.validations is not None and self.validations.best.is_exhausted:
            return True
        return self.budget.is_over if self.budget else self.position.epoch > total_epochs(self.options)

    @property
    def is_done(self) -> bool:
        """Whether the training is complete or has come to ``max_steps``."""
        limit = self.options.max_steps
        return self.is_complete or (limit is not None and self.position.step >= limit)

    @property
    def _epoch_is_over(self) -> bool:
        return self.position.iters >= len(self.loader.dataset)

    def _train_epoch(self, stop: StopRequest) -> None:
        began = self._begin_step()
        for batch in self._batches(self.position.iters):
            self._step(batch, time.perf_counter() - began)
            if not self._epoch_is_over:
                self._save(*self.saver.labels(self.position))
            if self._stops(stop) or self.is_done:
                break
            began = self._begin_step()
        if self._epoch_is_over:
            self._end_epoch()

    def _batches(self, offset: int) -> Iterator[Batch]:
        """Yield the rest of the epoch; UserError on all processes when one of them cannot read its share."""
        ranks, batches = self.updater.ranks, iter(self.loader.epoch(self.position.epoch, offset))
        while True:
            batch = ranks.all_do(lambda: next(batches, None))
            if batch is None:
                return
            yield batch

    def _begin_step(self) -> float:
        """Return the time at which waiting for a batch begins."""
        if self.budget:
            self.budget.step_begins()
        return time.perf_counter()

    def _step(self, batch: Batch, waited: float) -> None:
        before, began = self.position, time.perf_counter()
        share = self.budget.progress if self.budget else None
        rate = self.updater.set_rate(self.schedule.factor(before.epoch, before.step, share))
        losses = self.updater.step(batch, before.step)
        self.means.add(losses)
        images = batch.get("total", len(batch["A"]))  # of all ranks
        self.position = before.after(images)
        seconds = time.perf_counter() - began
        if self.budget:
            self.budget.step_ends()
        ends = self._ends()
        if self.updater.ranks.first:
            self.reporter.step(before, self.position, batch, losses, Times(seconds / images, waited, rate), ends)

    def _ends(self) -> Ends:
        """Return what the step just made has completed."""
        last = self.budget is None and self.position.epoch >= total_epochs(self.options)
        if self.is_done or (last and self._epoch_is_over):
            return "run"
        return "epoch" if self._epoch_is_over else None

    def _end_epoch(self) -> None:
        ended = self.position
        if self.validations and self.validations.is_due(ended.epoch, total_epochs(self.options)):
            self._validate(self.validations)
        if not (self.validations and self.validations.measures):
            self.schedule.observe(self.means.total(prefixes=("D_",)))
        self.means = RunningMeans()
        self.reporter.loggers.epoch_end(ended)
        self.position = ended._replace(epoch=ended.epoch + 1, iters=0)
        self._save(*self.saver.labels(self.position, ended.epoch, last=self.is_complete))

    def _validate(self, validations: Validations) -> None:
        with self._timing("validation"):
            cost = validations.run(self.position, self.reporter.loggers)
        if cost is not None:
            self.schedule.observe(cost)

    def _finish(self, *, interrupted: bool) -> None:
        """Save what is not saved yet; a training that ran out of time is validated as it ends."""
        if self.is_complete and not interrupted:
            if self.budget and self.validations and self.validations.last_step != self.position.step:
                self._save("latest")  # a first validation may take longer than the time that is left
                self._validate(self.validations)
                self.saver.latest = None
            self.reporter.loggers.finished()
        if self.saver.latest != self.position:
            self._save("latest")

    def _save(self, *labels: str) -> None:
        if labels:
            self._due = tuple(dict.fromkeys([*self._due, *labels]))  # a save that failed is tried once more, as a whole
            with self._timing("save"):
                self.saver.save(self.position, self.state_dict(), self._due)
            self._due = ()

    def _timing(self, work: str) -> contextlib.AbstractContextManager[None]:
        return self.budget.timing(work) if self.budget else contextlib.nullcontext()

    def rehearse(self) -> list[float]:
        """Return the seconds of a few steps on the first batches, the first as warm-up; nothing is changed by them."""
        return step_seconds(self.updater, self._batches(0 if self._epoch_is_over else self.position.iters))

    def resume(self) -> None:
        """Go on from the newest readable state of the folder, and write the weight files that follow from it.

        Raises:
            UserError: there is no state, or the disk takes no more.
        """
        ranks = self.updater.ranks
        if ranks.first:
            remove_unfinished(self.saver.folder)
        ranks.wait()
        state = load_state(self.saver.folder)
        if len(set(ranks.gather_rows({ranks.rank: state["position"]}).values())) > 1:
            raise UserError("the processes found different states: all must see the same --checkpoints_dir")
        self.load_state_dict(state)
        self.saver.resume(self.position, state.get("labels", ("latest",)))

    def state_dict(self) -> dict[str, Any]:
        """Return all that resuming needs, in plain types."""
        return {
            "position": tuple(self.position),
            "update": self.updater.state_dict(),
            "schedule": dict(self.schedule.state),
            "means": self.means.state_dict(),
            **{name: part.state_dict() for name, part in self._extras().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.position = Position(*state["position"])
        self.updater.load_state_dict(state["update"])
        self.schedule.state = dict(state["schedule"])
        self.means.load_state_dict(state["means"], self.updater.device)
        for name, part in self._extras().items():
            if name in state:
                part.load_state_dict(state[name])

    def _extras(self) -> dict[str, Any]:
        """Return the optional parts that have a state of their own."""
        parts: dict[str, Any] = {"validation": self.validations, "budget": self.budget}
        parts |= {"indicators": self.reporter.indicators, "reporter": self.reporter}
        return {name: part for name, part in parts.items() if part is not None}
