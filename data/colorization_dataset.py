"""Colour photos, each its own target, for learning colours from lightness."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from data import DATASETS
from data.common import CommonDataOptions
from data.folders import domain_files
from data.pairs import Pair, PairedImages
from data.value_range import ValueRange
from util.errors import UserError


@dataclass(frozen=True)
class ColorizationDataOptions:
    """Nothing beyond the common flags."""


@DATASETS.register("colorization", options=ColorizationDataOptions, preset={"colorspace": "lab"})
def colorization(
    options: ColorizationDataOptions,
    common: CommonDataOptions,
    *,
    train: bool,
    ranges: dict[str, ValueRange] | None = None,
) -> PairedImages:
    """Photos in train/ val/ test/ below the root or --dir_A, or in one folder that is split by names.

    Each is A and B at once, in RGB whatever ``--input_nc 1 --output_nc 2`` say, which describe L and a, b.
    """
    depth = "dtype" if common.value_range == "auto" else common.value_range  # colours have an absolute black and white
    common = dataclasses.replace(common, input_nc=3, output_nc=3, value_range=depth)
    pairs = _photos(common, common.phase)

    def training_pairs() -> list[Pair]:
        try:
            return _photos(common, "train")
        except UserError:
            return pairs

    return PairedImages(pairs, common, train=train, training_pairs=training_pairs, ranges=ranges)


def _photos(common: CommonDataOptions, phase: str) -> list[Pair]:
    files, names = domain_files(common, common.dir_A or ".", phase)
    return [Pair(name, path, path) for name, path in zip(names, files, strict=True)]
