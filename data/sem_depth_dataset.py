"""Scanning electron microscope images and depth maps: simulated pairs, and a real domain without depth."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

from data import DATASETS
from data.common import CommonDataOptions
from data.domains import Domain
from data.folders import domain_files
from data.listing import by_stem, data_root, images_in
from data.pairs import Pair, PairedImages
from data.unpaired import UnpairedImages
from data.value_range import ValueRange
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class SemDepthOptions:
    """Which of the two SEM domains is the source."""

    sem_domain: str = option(
        "simulated",
        "simulated: SEM images paired with their depth; real: SEM images without depth, and depth maps at random",
        choices=("simulated", "real"),
    )


@DATASETS.register("sem_depth", options=SemDepthOptions)
def sem_depth(
    options: SemDepthOptions,
    common: CommonDataOptions,
    *,
    train: bool,
    ranges: dict[str, ValueRange] | None = None,
) -> PairedImages | UnpairedImages:
    """SEM image (A) to depth map (B): <phase>/sem paired with <phase>/depth by name, or <phase>/real_sem unpaired.

    Several SEM images may share a depth map: its name begins theirs, as hole_012_itr0.png and hole_012.png.
    ``--dir_A`` and ``--dir_B`` rename the two folders.
    """
    build = _simulated if options.sem_domain == "simulated" else _real
    return build(common, train, ranges)


def _simulated(common: CommonDataOptions, train: bool, ranges: dict[str, ValueRange] | None) -> PairedImages:
    pairs = list_sem_pairs(common, common.phase)

    def training_pairs() -> list[Pair]:
        has_training = (data_root(common) / "train" / _folder(common, "sem")).is_dir()
        return list_sem_pairs(common, "train") if has_training else pairs

    return PairedImages(pairs, common, train=train, training_pairs=training_pairs, ranges=ranges)


def _real(common: CommonDataOptions, train: bool, ranges: dict[str, ValueRange] | None) -> UnpairedImages:
    def find(letter: str, phase: str) -> Domain:
        name = _folder(common, "real_sem") if letter == "A" else _folder(common, "depth")
        return Domain(*domain_files(common, name, phase))

    return UnpairedImages(find, common, train=train, ranges=ranges)


def _folder(common: CommonDataOptions, default: str) -> str:
    return (common.dir_B if default == "depth" else common.dir_A) or default


def list_sem_pairs(common: CommonDataOptions, phase: str) -> list[Pair]:
    """Return every SEM image of a phase with its depth map; UserError naming the first SEM image without one."""
    root = data_root(common) / phase
    sem, depth = root / _folder(common, "sem"), root / _folder(common, "depth")
    expected = f"{phase}/{sem.name} and {phase}/{depth.name} with matching names"
    depths = by_stem(images_in(depth, expected), depth)
    images = by_stem(images_in(sem, expected), sem)
    return [Pair(name, path, _depth_of(name, path, depths, depth)) for name, path in images.items()]


def _depth_of(name: str, path: pathlib.Path, depths: dict[str, pathlib.Path], folder: pathlib.Path) -> pathlib.Path:
    stem = name
    while stem not in depths:
        stem, underscore, _ = stem.rpartition("_")
        if not underscore:
            raise UserError(f"{path}: no depth map '{name}' (or a beginning of it up to a '_') in {folder}")
    return depths[stem]
