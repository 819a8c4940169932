"""What every logger receives, and the interface it offers. Nothing here imports torch."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # --help stays free of it
    import numpy as np


class Position(NamedTuple):
    """Where the training stands.

    ``epoch`` counts from 1; ``iters`` is the images seen in this epoch (as the established tool counts), ``step`` the
    optimizer steps and ``total_iters`` the images of the whole training.
    """

    epoch: int = 1
    iters: int = 0
    step: int = 0
    total_iters: int = 0

    def after(self, images: int) -> Position:
        """Return the position one step of so many images later, within the epoch."""
        return Position(self.epoch, self.iters + images, self.step + 1, self.total_iters + images)


class Times(NamedTuple):
    """Seconds per image spent computing, seconds spent waiting for data, and the learning rate of the moment."""

    compute: float
    data: float
    lr: float | None = None


@dataclasses.dataclass(frozen=True)
class RunInfo:
    """The facts of one run that loggers show; ``start`` is where it begins or resumes.

    ``options`` maps each flag to its value, ``options_sources`` to where that came from ("default", "command line").
    Totals count the whole training, not what remains after resuming.
    """

    run_dir: pathlib.Path
    name: str
    model: str
    options: Mapping[str, object]
    options_sources: Mapping[str, str]
    total_steps: int
    total_images: int
    images_per_epoch: int
    n_epochs: int
    start: Position = Position()

    @property
    def resumed(self) -> bool:
        """Whether the training goes on from a checkpoint."""
        return self.start.total_iters > 0


class LoggerUnavailable(Exception):
    """A logger cannot work here; the message is one whole line that says why and what helps."""


class Logger(Protocol):
    """One place that shows or stores how the training goes.

    A class attribute ``slow = True`` moves a logger to a background thread. A logger may also have
    ``progress(position)``, called after every step; it must take microseconds. One in the background may have
    ``ending()``, called from the training's thread before the events that still wait for it, and :meth:`close`.
    """

    def start(self, info: RunInfo) -> None:
        """Begin; called once, before the first step."""

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Take the losses, every ``--print_freq`` images."""

    def visuals(self, position: Position, visuals: dict[str, np.ndarray], *, save: bool) -> None:
        """Take previews, label -> (H,W) or (H,W,3) uint8, every ``--display_freq`` images.

        ``save`` is true every ``--update_html_freq`` images, and for those of an epoch's or the training's last step.
        The arrays must not be changed afterwards.
        """

    def epoch_end(self, position: Position) -> None:
        """Take note that the epoch ``position.epoch`` is complete."""

    def finished(self) -> None:
        """Take note that the training is complete; :meth:`close` without it follows an interruption."""

    def close(self) -> None:
        """Finish, after the last step or an interruption; may be called twice."""


class SilentLogger:
    """A logger that does nothing: the base to override one or two methods of."""

    slow = False

    def start(self, info: RunInfo) -> None:
        """Ignore the start."""

    def progress(self, position: Position) -> None:
        """Ignore the step."""

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Ignore the losses."""

    def visuals(self, position: Position, visuals: dict[str, np.ndarray], *, save: bool) -> None:
        """Ignore the previews."""

    def epoch_end(self, position: Position) -> None:
        """Ignore the end of an epoch."""

    def finished(self) -> None:
        """Ignore the end."""

    def close(self) -> None:
        """Nothing to finish."""
