"""The training loop: batches in order, one update step each, saving and telling on the way."""

from __future__ import annotations

import copy
import pathlib
import time
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from models.base import Batch, Losses, TranslationModel
from models.files import save_networks
from training.checkpoint import load_state, remove_unfinished, save_state
from training.loggers import LoggerGroup, Position, Times
from training.previews import Previewer
from training.schedule import Schedule, total_epochs
from training.settings import SaveOptions, ScheduleOptions
from training.signals import StopRequest
from training.update import Updater
from util.errors import UserError


class Loader(Protocol):
    """Batches of an epoch, the same for the same epoch number, from any batch on."""

    @property
    def dataset(self) -> Sized:
        """The training images."""

    def epoch(self, epoch: int, offset: int = 0) -> Iterator[Batch]:
        """Yield the batches of ``epoch`` (from 1), leaving out the first ``offset`` samples."""


@dataclass(frozen=True)
class Frequencies:
    """Images between two reports, displays and page rows."""

    report: int
    display: int
    page: int


class RunningMeans:
    """Means of the losses since the last epoch began, kept on the device until they are read."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, losses: Losses) -> None:
        """Take one step's losses."""
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
        self.count += 1

    def total(self, prefixes: Sequence[str]) -> float:
        """Return the mean sum of the terms that no name in ``prefixes`` begins."""
        kept = [value for name, value in self.sums.items() if not name.startswith(tuple(prefixes))]
        return float(sum(kept)) / max(1, self.count)


class Trainer:
    """Everything a training needs, advanced by :meth:`fit`.

    Args:
        model: prepared for training, on its device.
        updater: its update step.
        loader: of the training split.
        folder: of the run.
        schedule_options: epochs and learning rate.
        save_options: when to save.
        frequencies: when to report.
        previewer: turns tensors into pictures.
    """

    def __init__(
        self,
        model: TranslationModel,
        updater: Updater,
        loader: Loader,
        folder: pathlib.Path,
        schedule_options: ScheduleOptions,
        save_options: SaveOptions,
        frequencies: Frequencies,
        previewer: Previewer,
    ) -> None:
        self.model, self.updater, self.loader, self.folder = model, updater, loader, folder
        self.schedule_options, self.save_options = schedule_options, save_options
        self.frequencies, self.previewer = frequencies, previewer
        self.schedule = Schedule(schedule_options)
        self.means = RunningMeans()
        self.position = Position(epoch=schedule_options.epoch_count)
        self.loggers = LoggerGroup([])

    def state_dict(self) -> dict[str, Any]:
        """Return all that resuming needs, in plain types."""
        return {
            "position": tuple(self.position),
            "update": self.updater.state_dict(),
            "schedule": dict(self.schedule.state),
            "means": {"sums": dict(self.means.sums), "count": self.means.count},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.position = Position(*state["position"])
        self.updater.load_state_dict(state["update"])
        self.schedule.state = dict(state["schedule"])
        self.means.sums = {name: value.to(self.updater.device) for name, value in state["means"]["sums"].items()}
        self.means.count = state["means"]["count"]

    def resume(self) -> None:
        """Go on from the newest readable state of the folder, and write the weight files that follow from it.

        A crash between the two leaves older weight files, or those of some networks only.

        Raises:
            UserError: there is no state, or the disk takes no more.
        """
        remove_unfinished(self.folder)
        state = load_state(self.folder)
        self.load_state_dict(state)
        self._write_weights(state.get("labels", ("latest",)))

    def rehearse(self, steps: int = 3) -> list[float]:
        """Return the seconds of a few steps on the first batches, then undo them exactly."""
        before = copy.deepcopy(self.updater.state_dict())
        seconds = []
        for _, batch in zip(range(steps), self._batches(), strict=False):
            began = time.perf_counter()
            losses = self.updater.step(batch, self.position.step)
            [value.item() for value in losses.values()]  # wait for the device
            seconds.append(time.perf_counter() - began)
        self.updater.load_state_dict(before)
        return seconds

    def fit(self, loggers: LoggerGroup) -> int:
        """Train to the end, or until a stop request or ``max_steps``; return the exit code.

        The run is saved whenever this returns, and can go on from there.
        """
        self.loggers = loggers
        with StopRequest() as stop:
            while self.position.epoch <= total_epochs(self.schedule_options) and not self._done():
                try:
                    self._train_epoch(stop)
                except UserError:  # a file that cannot be read must not cost the steps since the last save
                    self._save("latest")
                    raise
                if stop.signal or self._done():
                    self._save("latest")
                    break
        return stop.exit_code

    def _done(self) -> bool:
        limit = self.schedule_options.max_steps
        return limit is not None and self.position.step >= limit

    def _batches(self) -> Iterator[Batch]:
        return self.loader.epoch(self.position.epoch, self.position.iters)

    def _train_epoch(self, stop: StopRequest) -> None:
        rate = self.updater.set_rate(self.schedule.factor(self.position.epoch))
        waited = time.perf_counter()
        for batch in self._batches():
            began = time.perf_counter()
            losses = self.updater.step(batch, self.position.step)
            self.means.add(losses)
            before, self.position = self.position, _advance(self.position, len(batch["A"]))
            seconds = (time.perf_counter() - began) / len(batch["A"])
            self._report(before, batch, losses, Times(seconds, began - waited, rate))
            waited = time.perf_counter()
            if stop.signal or self._done():
                break
        if self.position.iters >= len(self.loader.dataset):
            self._end_epoch()

    def _end_epoch(self) -> None:
        self.schedule.epoch_end(self.means.total(prefixes=("D_",)))
        self.means = RunningMeans()
        ended = self.position
        self.loggers.epoch_end(ended)
        self.position = ended._replace(epoch=ended.epoch + 1, iters=0)
        last = ended.epoch == total_epochs(self.schedule_options)
        if last or ended.epoch % self.save_options.save_epoch_freq == 0:
            self._save("latest", str(ended.epoch))

    def _report(self, before: Position, batch: Batch, losses: Losses, times: Times) -> None:
        def due(frequency: int) -> bool:
            return before.total_iters // frequency < self.position.total_iters // frequency

        self.loggers.progress(self.position)
        if due(self.frequencies.report) or self._ends_short_epoch() or self._done():
            self.loggers.losses(self.position, self._named(losses), times)
        if due(self.frequencies.display) or due(self.frequencies.page) or before.step == 0:
            pictures = self.previewer.pictures(self.model, batch)
            self.loggers.visuals(self.position, pictures, save=due(self.frequencies.page) or before.step == 0)
        if due(self.save_options.save_latest_freq):
            self._save(f"iter_{self.position.total_iters}" if self.save_options.save_by_iter else "latest")

    def _ends_short_epoch(self) -> bool:
        """Whether an epoch ends that is too short to come to a report otherwise."""
        images = len(self.loader.dataset)
        return images < self.frequencies.report and self.position.iters >= images

    def _named(self, losses: Losses) -> dict[str, float]:
        """Return the values in the order in which the model's paper and logs name them."""
        first = [name for name in self.model.loss_names if name in losses]
        return {name: losses[name].item() for name in dict.fromkeys([*first, *losses])}

    def _save(self, *labels: str) -> None:
        """Write the state, then the weight files that follow from it; the state knows which, for :meth:`resume`."""
        save_state(self.folder, self.state_dict() | {"labels": labels})
        self._write_weights(labels)

    def _write_weights(self, labels: Sequence[str]) -> None:
        for label in labels:
            save_networks(self.model.networks(), self.folder, label)


def _advance(position: Position, images: int) -> Position:
    return position._replace(
        iters=position.iters + images, step=position.step + 1, total_iters=position.total_iters + images
    )
