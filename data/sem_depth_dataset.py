"""Scanning electron microscope images and depth maps: simulated pairs, and a real domain without depth."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

from data import DATASETS
from data.common import CommonDataOptions, PatchOptions
from data.domains import Domain
from data.folders import domain_files, in_phase, locate
from data.listing import by_stem, data_root, images_in
from data.pairs import Pair, PairedImages
from data.unlabelled import WithUnlabelled
from data.unpaired import UnpairedImages
from data.value_range import ValueRange
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class SemDepthOptions(PatchOptions):
    """Which of the two SEM domains is the source."""

    sem_domain: str = option(
        "simulated",
        "simulated: SEM images paired with their depth; real: SEM images without depth, and depth maps at random; "
        "both: the pairs, and in training with each one a real image at random",
        choices=("simulated", "real", "both"),
    )


@DATASETS.register("sem_depth", options=SemDepthOptions)
def sem_depth(
    options: SemDepthOptions,
    common: CommonDataOptions,
    *,
    train: bool,
    ranges: dict[str, ValueRange] | None = None,
) -> PairedImages | UnpairedImages | WithUnlabelled:
    """SEM image (A) to depth map (B): <phase>/sem paired with <phase>/depth by name, or <phase>/real_sem unpaired.

    Several SEM images may share a depth map: its name begins theirs, as hole_012_itr0.png and hole_012.png.
    ``--dir_A`` and ``--dir_B`` rename the two folders.
    """
    if options.sem_domain == "real":
        return _real(common, train, ranges)
    pairs = _simulated(options, common, train, ranges)
    if options.sem_domain == "simulated" or not train:
        return pairs
    return WithUnlabelled(pairs, Domain(*domain_files(common, "real_sem", common.phase)), "real_sem")


def _simulated(
    options: SemDepthOptions, common: CommonDataOptions, train: bool, ranges: dict[str, ValueRange] | None
) -> PairedImages:
    pairs = list_sem_pairs(common, common.phase)

    def training_pairs() -> list[Pair]:
        try:
            return list_sem_pairs(common, "train")
        except UserError:
            return pairs

    return PairedImages(
        pairs, common, train=train, training_pairs=training_pairs, ranges=ranges, patches=options.patches_per_image
    )


def _real(common: CommonDataOptions, train: bool, ranges: dict[str, ValueRange] | None) -> UnpairedImages:
    def find(letter: str, phase: str) -> Domain:
        name = common.dir_A or "real_sem" if letter == "A" else common.dir_B or "depth"
        return Domain(*domain_files(common, name, phase))

    return UnpairedImages(find, common, train=train, ranges=ranges)


def list_sem_pairs(common: CommonDataOptions, phase: str) -> list[Pair]:
    """Return every SEM image of a phase with its depth map; UserError naming the first SEM image without one.

    Folders without train/ and test/ are split by depth map, so that its SEM images stay together.
    """
    root = data_root(common)
    names = common.dir_A or "sem", common.dir_B or "depth"
    (sem, whole), (depth, _) = (locate(root, name, phase) for name in names)
    expected = f"{phase}/{names[0]} and {phase}/{names[1]} with matching names"
    depths = by_stem(images_in(depth, expected), depth)
    images = by_stem(images_in(sem, expected), sem)
    owners = {name: _depth_of(name, path, depths, depth) for name, path in images.items()}
    kept = set(in_phase(common, sorted(set(owners.values())), phase, whole))
    return [Pair(name, path, depths[owners[name]]) for name, path in images.items() if owners[name] in kept]


def _depth_of(name: str, path: pathlib.Path, depths: dict[str, pathlib.Path], folder: pathlib.Path) -> str:
    """Return the name of an image's depth map: its own, or what remains of it when parts after a '_' are left out."""
    place, slash, stem = name.rpartition("/")
    while place + slash + stem not in depths:
        stem, underscore, _ = stem.rpartition("_")
        if not underscore:
            raise UserError(f"{path}: no depth map '{name}' (or a beginning of it up to a '_') in {folder}")
    return place + slash + stem
