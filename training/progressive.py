"""Training on small crops first: larger images and stronger regularisation by stages (Tan and Le 2021, 2104.00298)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass

from models.base import Batch
from training.settings import StartOptions
from training.trainer import Loader
from util.errors import UserError


@dataclass(frozen=True)
class Stage:
    """One part of the epochs.

    Args:
        crop_size: in pixels.
        weight_decay: None leaves that of the optimizer.
    """

    crop_size: int
    weight_decay: float | None = None


def stages_of(options: StartOptions) -> list[Stage]:
    """Return the stages that the flags name; none without ``--progressive_sizes``.

    Raises:
        UserError: sizes or decays are no numbers, or not equally many.
    """
    sizes, decays = options.progressive_sizes, options.progressive_weight_decay
    if decays and len(decays) != len(sizes):
        raise UserError(
            f"--progressive_weight_decay {','.join(decays)}: give one for each of --progressive_sizes {','.join(sizes)}"
        )
    try:
        stages = [Stage(int(size)) for size in sizes if size]
        if decays:
            stages = [Stage(s.crop_size, float(decay)) for s, decay in zip(stages, decays, strict=True)]
    except ValueError:
        raise UserError(
            "--progressive_sizes and --progressive_weight_decay take numbers, such as 192,256,320"
        ) from None
    if any(stage.crop_size < 1 or (stage.weight_decay or 0) < 0 for stage in stages):
        raise UserError("--progressive_sizes must be 1 or more, --progressive_weight_decay 0 or more")
    return stages


def stage_at(epoch: int, stages: int, epochs: int) -> int:
    """Return the number of the stage, from 0, that ``epoch`` (from 1) of ``epochs`` lies in."""
    return min(stages - 1, (epoch - 1) * stages // epochs)


class ProgressiveLoader:
    """One loader for each stage, of which only the present one keeps processes.

    Args:
        stages: in order.
        epochs: of the whole training, divided equally.
        make: returns the loader of a stage.
        enter: told of the stage whenever an epoch begins.
    """

    def __init__(
        self, stages: Sequence[Stage], epochs: int, make: Callable[[Stage], Loader], enter: Callable[[Stage], None]
    ) -> None:
        self.stages, self.epochs, self._make, self._enter = stages, epochs, make, enter
        self._number, self._loader = 0, make(stages[0])

    @property
    def dataset(self) -> Sized:
        """The training images of the present stage."""
        return self._loader.dataset

    def epoch(self, epoch: int, offset: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch in the size of its stage, after the first ``offset`` samples."""
        number = stage_at(epoch, len(self.stages), self.epochs)
        if number != self._number:
            self._number, self._loader = number, self._make(self.stages[number])
        self._enter(self.stages[number])
        return self._loader.epoch(epoch, offset)
