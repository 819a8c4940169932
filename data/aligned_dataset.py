"""Pairs: A and B side by side in one image, or in two folders of equal names."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from data import DATASETS
from data.common import CommonDataOptions, PatchOptions
from data.folders import PHASES, in_phase, locate
from data.listing import by_stem, data_root, images_in, output_names
from data.pairs import Pair, PairedImages
from data.value_range import ValueRange
from util.errors import UserError


@DATASETS.register("aligned", options=PatchOptions)
def aligned(
    options: PatchOptions,
    common: CommonDataOptions,
    *,
    train: bool,
    ranges: dict[str, ValueRange] | None = None,
) -> PairedImages:
    """Paired images: train/ val/ test/ with A and B side by side, or two folders by --dir_A and --dir_B."""
    pairs = list_pairs(common, common.phase)

    def training_pairs() -> Sequence[Pair]:
        return list_training_pairs(common, pairs)

    return PairedImages(
        pairs, common, train=train, training_pairs=training_pairs, ranges=ranges, patches=options.patches_per_image
    )


def list_pairs(common: CommonDataOptions, phase: str) -> list[Pair]:
    """Return the pairs of one phase, from A to B; UserError when folders are missing or do not match."""
    if (common.dir_A is None) != (common.dir_B is None):
        raise UserError("--dir_A and --dir_B name the two folders together; give both")
    if common.dir_A and common.dir_B:
        return _two_folders(common, common.dir_A, common.dir_B, phase)
    return _side_by_side(common, phase)


def list_training_pairs(common: CommonDataOptions, otherwise: Sequence[Pair]) -> Sequence[Pair]:
    """Return the training pairs, from which ranges are estimated; ``otherwise`` where there are none."""
    try:
        return list_pairs(common, "train")
    except UserError:
        return otherwise


def _side_by_side(common: CommonDataOptions, phase: str) -> list[Pair]:
    root = data_root(common)
    flat = not any((root / name).is_dir() for name in PHASES) and any(root.glob("*.*"))
    folder = root if flat else root / phase
    files = images_in(
        folder, "train/ val/ test/ with A and B side by side in one image, or two folders named by --dir_A and --dir_B"
    )
    names = output_names(files, folder)
    kept = set(in_phase(common, names, phase, flat))
    return [Pair(name, path, path, joined=True) for name, path in zip(names, files, strict=True) if name in kept]


def _two_folders(common: CommonDataOptions, dir_a: str, dir_b: str, phase: str) -> list[Pair]:
    root = data_root(common)
    (folder_a, whole), (folder_b, _) = locate(root, dir_a, phase), locate(root, dir_b, phase)
    pairs = match(folder_a, folder_b)
    kept = set(in_phase(common, [pair.name for pair in pairs], phase, whole))
    return [pair for pair in pairs if pair.name in kept]


def match(folder_a: pathlib.Path, folder_b: pathlib.Path) -> list[Pair]:
    """Pair the files of two folders by relative stem; UserError naming the first one without a partner."""
    files_a = by_stem(images_in(folder_a, "the A image of every pair"), folder_a)
    files_b = by_stem(images_in(folder_b, "the B image of every pair"), folder_b)
    for these, those, other in ((files_a, files_b, folder_b), (files_b, files_a, folder_a)):
        missing = [name for name in these if name not in those]
        if missing:
            raise UserError(
                f"{these[missing[0]]}: no '{missing[0]}' in {other} ({len(missing)} of {len(these)} files have no "
                "partner); add or remove them, or use --dataset_mode unaligned"
            )
    return [Pair(name, files_a[name], files_b[name]) for name in files_a]
