"""Pairs as of ``--dataset_mode aligned``, and a folder of source images without targets."""

from __future__ import annotations

from dataclasses import dataclass

from data import DATASETS
from data.aligned_dataset import aligned
from data.common import CommonDataOptions, PatchOptions
from data.domains import Domain
from data.folders import domain_files
from data.pairs import PairedImages
from data.unlabelled import WithUnlabelled
from data.value_range import ValueRange
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class SemiOptions(PatchOptions):
    dir_U: str | None = option(
        None, "folder of further source images, without targets, below --dataroot, or a whole path; for training alone"
    )


@DATASETS.register("semi", options=SemiOptions)
def semi(
    options: SemiOptions,
    common: CommonDataOptions,
    *,
    train: bool,
    ranges: dict[str, ValueRange] | None = None,
) -> PairedImages | WithUnlabelled:
    """Paired images as of aligned, and in training with each pair an image of --dir_U, which has no target."""
    pairs = aligned(options, common, train=train, ranges=ranges)
    if not train:
        return pairs
    if options.dir_U is None:
        raise UserError("--dir_U is missing: name the folder of source images without targets")
    return WithUnlabelled(pairs, Domain(*domain_files(common, options.dir_U, common.phase)), f"--dir_U {options.dir_U}")
