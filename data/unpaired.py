"""Two domains without pairs -> samples; the part that all unpaired data sets share."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import torch

from data.common import CommonDataOptions
from data.domains import Domain, load_side
from data.pairs import Pair
from data.prepared import Images
from data.sample import make_sides
from data.transfer import as_floats
from data.value_range import ValueRange
from util.errors import UserError

ListDomain = Callable[[str, str], Domain]


class UnpairedImages:
    """A source domain in order and a target domain at random; as long as the longer of the two.

    Args:
        find: ``find("A", phase)`` lists a domain in the terms of the files, before ``--direction``.
        ranges: ranges that a run has saved.
    """

    def __init__(
        self, find: ListDomain, common: CommonDataOptions, *, train: bool, ranges: dict[str, ValueRange] | None
    ) -> None:
        self.common, self.train, self._images = common, train, Images(common)
        self.pairs: list[Pair] = []  # nothing to measure against
        order = "AB" if common.direction == "AtoB" else "BA"
        self.source, self.target = (find(letter, common.phase) for letter in order)
        skip = common.skips_bad
        examples = [
            domain.examples(_training_files(find, letter, domain), strict=train and not skip, skip=skip)
            for letter, domain in zip(order, (self.source, self.target), strict=True)
        ]
        self.sides = make_sides(common, examples[0], examples[1], ranges)
        self.ranges = {name: side.range for name, side in self.sides.items()}
        self.formats = {name: side.format for name, side in self.sides.items()}
        count = max(len(self.source.files), len(self.target.files))
        self.names = [self.source.names[index % len(self.source.names)] for index in range(count)]

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return one sample; the target is random in training unless ``--serial_batches``."""
        return as_floats(self.load_stored(index, generator))

    def load_stored(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """As :meth:`load`, but images of 8-bit files stay uint8, with their range as "A_range" and "B_range"."""
        at = index % len(self.source.files)
        sample = load_side("A", self.sides["A"], self.source.files[at], self._images, generator, self.train)
        other = self.target.files[self._other(index, generator)]
        sample |= load_side("B", self.sides["B"], other, self._images, generator, self.train)
        return sample | {"names": self.names[index], "key": generator.initial_seed()}

    def preparations(self) -> list[Callable[[], Any]]:
        """Return one call per file that prepares it, and so puts it in the cache."""
        sources = self.source.preparations(self.sides["A"], self._images)
        return sources + self.target.preparations(self.sides["B"], self._images)

    def _other(self, index: int, generator: torch.Generator) -> int:
        count = len(self.target.files)
        if self.common.serial_batches or not self.train:
            return index % count
        return int(torch.randint(count, (), generator=generator))


def _training_files(find: ListDomain, letter: str, domain: Domain) -> Callable[[], Sequence[pathlib.Path]]:
    def files() -> Sequence[pathlib.Path]:
        try:
            return find(letter, "train").files
        except UserError:
            return domain.files

    return files
