"""Pairs of images: their audit, and one pair -> one sample."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from data.common import CommonDataOptions
from data.informed import Sources
from data.listing import one_dtype, read_infos, readable
from data.prepared import Images, Prepared
from data.readers import ImageInfo, read_image
from data.sample import Examples, make_sides
from data.transfer import as_floats
from data.transforms import draw
from data.value_range import ValueRange, spread
from util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Pair:
    """A source and a target file; ``joined`` where both are halves of one image, A left and B right.

    ``swapped`` says that the source is B, so the right half of a joined image.
    """

    name: str
    source: pathlib.Path
    target: pathlib.Path
    joined: bool = False
    swapped: bool = False

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Return source and target, H x W x C each in file values."""
        if not self.joined:
            return read_image(self.source), read_image(self.target)
        image = read_image(self.source)
        half = image.shape[1] // 2
        left, right = image[:, :half], image[:, half:]
        return (right, left) if self.swapped else (left, right)

    @property
    def parts(self) -> tuple[str, str]:
        """Return which parts of their files source and target are."""
        if not self.joined:
            return "", ""
        return ("right", "left") if self.swapped else ("left", "right")

    def reverse(self) -> Pair:
        """Return the pair for translation from B to A."""
        return dataclasses.replace(self, source=self.target, target=self.source, swapped=not self.swapped)


class PairedImages:
    """Audited pairs with their ranges and formats; the part that all paired data sets share.

    Args:
        pairs: in the order of files; ``--direction`` and ``--max_dataset_size`` are applied here.
        training_pairs: called only when a range must be estimated.
        ranges: ranges that a run has saved.
        patches: samples that one epoch of training takes of each pair.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        common: CommonDataOptions,
        *,
        train: bool,
        training_pairs: Callable[[], Sequence[Pair]],
        ranges: dict[str, ValueRange] | None,
        patches: int = 1,
    ) -> None:
        self.common, self.train = common, train
        self.pairs = _directed(pairs, common)[: common.max_dataset_size]
        self._images = Images(common)
        self.sources = Sources(common, self._images, train=train)
        dtypes = audit(self.pairs, strict=train and not common.skips_bad)

        def images(side: int) -> Iterable[np.ndarray]:
            reads = (pair.read for pair in spread(_directed(training_pairs(), common)))
            return (pair[side] for pair in readable(reads, skip=common.skips_bad))

        source, target = (Examples(dtype, functools.partial(images, side)) for side, dtype in enumerate(dtypes))
        self.sides = make_sides(common, source, target, ranges)
        self.ranges = {name: side.range for name, side in self.sides.items()}
        self.formats = {name: side.format for name, side in self.sides.items()}
        self.pairs = self.pairs * (patches if train else 1)
        self.names = [pair.name for pair in self.pairs]

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return sample ``index``, cropped and mirrored as the generator says.

        "A" (input_nc, h, w) and "B" (output_nc, h, w) are float32 in [-1,1], in training "A" with what the generator
        sees beside the image; with them come "A_paths", "B_paths", "names", "key", and "A_mask" or "B_mask" where
        that side has non-finite pixels. UserError naming the file when it cannot be read or does not fit the flags.
        """
        return as_floats(self.load_stored(index, generator))

    def load_stored(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """As :meth:`load`, but images of 8-bit files stay uint8, with their range as "A_range" and "B_range"."""
        pair = self.pairs[index]
        source, target = self.open(pair)
        _check_equal(pair, source.size, target.size)
        geometry = draw(self.common, source.size, generator, train=self.train, path=str(pair.source))
        sample = self.sources.place("A", self.sides["A"], source, geometry, pair.source, pair.parts[0])
        sample |= self.sides["B"].place("B", target, geometry, pair.target)
        return sample | {"names": pair.name, "key": generator.initial_seed()}

    def open(self, pair: Pair) -> tuple[Prepared, Prepared]:
        """Return source and target, prepared; a file that holds both is decoded once."""
        read = functools.cache(pair.read)
        source, target = pair.parts
        return (
            self._images.open(self.sides["A"], pair.source, lambda: read()[0], source),
            self._images.open(self.sides["B"], pair.target, lambda: read()[1], target),
        )

    def preparations(self) -> list[Callable[[], Any]]:
        """Return one call per pair that prepares its images, and so puts them in the cache."""
        return [functools.partial(self.open, pair) for pair in dict.fromkeys(self.pairs)]


def _directed(pairs: Sequence[Pair], common: CommonDataOptions) -> list[Pair]:
    return [pair.reverse() for pair in pairs] if common.direction == "BtoA" else list(pairs)


def audit(pairs: Sequence[Pair], *, strict: bool = True) -> tuple[str, str]:
    """Check sizes and dtypes of all pairs from the headers; return the dtypes of source and target.

    Without ``strict`` unreadable files are left to be named when they are loaded.

    Raises:
        UserError: halves or pairs of unequal size, an unreadable file, or files of mixed depth; naming the file.
    """
    sources = read_infos([pair.source for pair in pairs], strict=strict)
    targets = sources if pairs[0].joined else read_infos([pair.target for pair in pairs], strict=strict)
    for pair in pairs:
        if pair.source in sources and pair.target in targets:
            _check_headers(pair, sources[pair.source], targets[pair.target])
    return one_dtype(sources), one_dtype(targets)


def _check_headers(pair: Pair, source: ImageInfo, target: ImageInfo) -> None:
    if not pair.joined:
        _check_equal(pair, (source.height, source.width), (target.height, target.width))
    elif source.width % 2:
        raise UserError(
            f"{pair.source}: {source.width} pixels wide, which is odd; A and B side by side must have equal widths "
            "(single images: --dataset_mode single)"
        )


def _check_equal(pair: Pair, source: tuple[int, ...], target: tuple[int, ...]) -> None:
    if source != target:
        raise UserError(
            f"{pair.source}: {source[1]}x{source[0]} pixels, but its pair {pair.target} has "
            f"{target[1]}x{target[0]}; make the two equal"
        )
