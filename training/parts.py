"""The batch of one step, cut into parts that fit into memory, with what has been generated from it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.base import Batch, Images
from training.undo import Undo
from util.errors import UserError
from util.noise import mix


class Part(NamedTuple):
    """Some samples of the batch.

    Attributes:
        samples: which of this process's samples.
        batch: their tensors and names.
        weight: their share of the whole batch over all processes.
        seeds: of the noise of each sample.
    """

    samples: slice
    batch: Batch
    weight: float
    seeds: list[int]


class StepBatch:
    """This process's share of a batch, in one or more parts.

    Args:
        batch: tensors (N,...) on the device and lists of N; the loader's "total" and "counts" say how many samples
            the whole batch has and how many of this share belong to each part.
        step: its number.
        noise: seed of this step; each sample adds its "key".
        before: the norm statistics before the forward.
        shared: whether a phase of this step sends gradients through the images.
        keep_empty: whether parts without samples are computed too, as they must be where others wait for their sums.
        parts: into how many to cut a batch that comes without "counts".
        halvings: how often to halve every part on top of that.
    """

    def __init__(
        self,
        batch: Batch,
        step: int,
        noise: int,
        before: Undo,
        *,
        shared: bool = False,
        keep_empty: bool = False,
        parts: int = 1,
        halvings: int = 0,
    ) -> None:
        self.batch, self.step, self.shared, self._before = batch, step, shared, before
        self._keep_empty = keep_empty
        self.count = len(batch["A"])
        self.total = int(batch.get("total", self.count))
        self.seeds = [mix(noise, key) for key in batch.get("key", range(self.count))]
        self.loaded_counts = list(batch["counts"]) if "counts" in batch else _shares(self.count, parts)
        self.counts = self.loaded_counts
        for _ in range(halvings):
            self.counts = _halved(self.counts)
        self.images: Images | None = None  # what the model made of the share, detached
        self.graph: Images | None = None  # the same with its graph, of a batch in one part
        self.history: Images = {}

    def rewind(self) -> None:
        """Undo what an earlier forward left in the norm statistics, before the same forward is run again."""
        self._before.restore()

    def parts(self) -> list[Part]:
        """Return the parts in order."""
        ends = torch.tensor(self.counts).cumsum(0).tolist()
        ranges = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        return [self._part(samples) for samples in ranges if samples.start < samples.stop or self._keep_empty]

    def _part(self, samples: slice) -> Part:
        whole = samples == slice(0, self.count)
        batch = self.batch if whole else select(self.batch, samples, self.count)
        return Part(samples, batch, (samples.stop - samples.start) / self.total, self.seeds[samples])

    def halve(self) -> bool:
        """Cut every part in two and forget the graph; return False when all held one sample at most."""
        self.graph = None
        if max(self.counts) < 2:
            return False
        self.counts = _halved(self.counts)
        return True

    def seen_by(self, part: Part) -> Images:
        """Return the detached images of a part, those of the history in their place."""
        assert self.images is not None
        return {name: image[part.samples] for name, image in (self.images | self.history).items()}


def _shares(count: int, parts: int) -> list[int]:
    return [len(share) for share in torch.arange(count).tensor_split(parts)]


def _halved(counts: Sequence[int]) -> list[int]:
    return [half for count in counts for half in (count - count // 2, count // 2)]


def joined(parts: Sequence[Images]) -> Images:
    """Return the images of all parts as one batch."""
    if len(parts) == 1:
        return parts[0]
    return {name: torch.cat([images[name] for images in parts]) for name in parts[0]}


def select(batch: Batch, samples: slice, count: int) -> dict[str, Any]:
    """Return some samples of a batch of ``count``: slices of its tensors and lists, the rest as it is."""
    per_sample = {
        key: value[samples]
        for key, value in batch.items()
        if key != "counts" and isinstance(value, Tensor | list) and len(value) == count
    }
    return {**batch, **per_sample}


def fit_sizes(batch: Mapping[str, Any], multiple: int, scale: int = 1) -> dict[str, Any]:
    """Return the batch with images cut at the right and below to sides that divide by ``multiple``.

    Args:
        scale: how many times as large as A and U images B are, which are cut by as much more.

    Raises:
        UserError: an image is smaller than that.
    """
    sides = {"A": multiple, "U": multiple, "B": multiple * scale}
    return {key: _cut(value, key, batch, sides[key[0]]) if key[0] in sides else value for key, value in batch.items()}


def _cut(image: Any, key: str, batch: Batch, multiple: int) -> Any:
    if not isinstance(image, Tensor) or not any(side % multiple for side in image.shape[-2:]):
        return image
    height, width = (side - side % multiple for side in image.shape[-2:])
    if not height or not width:
        raise UserError(
            f"{batch[f'{key[0]}_paths'][0]}: {image.shape[-1]}x{image.shape[-2]} pixels in training, but the networks "
            f"need at least {multiple} on each side; use --preprocess resize_and_crop, or a smaller --netG"
        )
    say_once(f"note: images are cut in training to sides that divide by {multiple}")
    return image[..., :height, :width]


@functools.cache
def say_once(message: str) -> None:
    """Print a line to the user the first time it is given."""
    print(message, file=sys.stderr)
