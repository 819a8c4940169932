"""Two domains without pairs, for CycleGAN and its like."""

from __future__ import annotations

from dataclasses import dataclass

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
def unaligned(
    options: UnalignedOptions,
    common: CommonDataOptions,
    *,
    train: bool,
    ranges: dict[str, ValueRange] | None = None,
) -> UnpairedImages:
    """Unpaired images: trainA trainB testA testB below the root, or two folders by --dir_A and --dir_B."""

    def find(letter: str, phase: str) -> Domain:
        name = common.dir_A if letter == "A" else common.dir_B
        return Domain(*domain_files(common, name, phase, default=f"{phase}{letter}"))

    return UnpairedImages(find, common, train=train, ranges=ranges)
