"""Two domains without pairs, for CycleGAN and its like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from data import DATASETS
from data.common import CommonDataOptions
from data.domains import Domain
from data.folders import domain_files
from data.unpaired import UnpairedImages
from data.value_range import ValueRange


@dataclass(frozen=True)
class UnalignedOptions:
    """Nothing beyond the common flags."""


@DATASETS.register("unaligned", options=UnalignedOptions)
class UnalignedDataset:
    """Unpaired images: trainA trainB testA testB below the root, or two folders by --dir_A and --dir_B.

    ``load`` gives what the aligned data set gives; "B" is a random image of the other domain.
    """

    def __init__(
        self,
        options: UnalignedOptions,
        common: CommonDataOptions,
        *,
        train: bool,
        ranges: dict[str, ValueRange] | None = None,
    ) -> None:
        def find(letter: str, phase: str) -> Domain:
            name = common.dir_A if letter == "A" else common.dir_B
            return Domain(*domain_files(common, name, phase, default=f"{phase}{letter}"))

        self._images = UnpairedImages(find, common, train=train, ranges=ranges)
        self.pairs = self._images.pairs
        self.names = self._images.names
        self.ranges = {name: side.range for name, side in self._images.sides.items()}
        self.formats = {name: side.format for name, side in self._images.sides.items()}

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return sample ``index``; the choice of B, crops and mirroring are the generator's."""
        return self._images.load(index, generator)
