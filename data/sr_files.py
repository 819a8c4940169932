"""High-resolution images and, where they are given, the low-resolution ones that belong to them."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from data.common import CommonDataOptions
from data.folders import domain_files, locate
from data.listing import by_stem, data_root, images_in, one_dtype, read_infos
from data.pairs import Pair
from data.readers import ImageInfo
from util.errors import UserError


@dataclass(frozen=True)
class Audited:
    """What the headers say: dtypes of inputs and targets."""

    source_dtype: str
    target_dtype: str


def list_scaled_pairs(common: CommonDataOptions, scale: int, phase: str) -> list[Pair]:
    """Return the pairs of one phase; where no inputs are given a pair's source is its target.

    Raises:
        UserError: folders are missing, or an image of either folder has no partner, in whatever phase; naming it.
    """
    files, names = domain_files(common, common.dir_B or ".", phase)
    if common.dir_A is None:
        return [Pair(name, path, path) for name, path in zip(names, files, strict=True)]
    if common.dir_B is None:
        raise UserError(
            f"--dir_A {common.dir_A}: names the low-resolution images, so name the high-resolution ones by --dir_B"
        )
    root = data_root(common)
    (folder, whole), (_, targets_whole) = locate(root, common.dir_A, phase), locate(root, common.dir_B, phase)
    found = by_stem(images_in(folder, "the low-resolution image of every image"), folder)

    def paired(files: Sequence[pathlib.Path], names: Sequence[str]) -> list[Pair]:
        named = zip(names, files, strict=True)
        return [Pair(name, _small(name, path, found, scale, folder), path) for name, path in named]

    if whole == targets_whole and common.max_dataset_size is None:
        complete = domain_files(common, common.dir_B, "all") if whole else (files, names)
        _check_all_used(paired(*complete), found)
    return paired(files, names)


def _small(
    name: str, path: pathlib.Path, found: dict[str, pathlib.Path], scale: int, folder: pathlib.Path
) -> pathlib.Path:
    for candidate in (f"{name}x{scale}", name):
        if candidate in found:
            return found[candidate]
    raise UserError(f"{path}: neither '{name}x{scale}' nor '{name}' in {folder}; add it, or remove this file")


def _check_all_used(pairs: Sequence[Pair], found: dict[str, pathlib.Path]) -> None:
    unused = sorted(set(found.values()) - {pair.source for pair in pairs})
    if unused:
        raise UserError(
            f"{unused[0]}: no high-resolution image belongs to it ({len(unused)} of {len(found)} files); "
            "add or remove them, and check --scale"
        )


def audit_scaled(pairs: Sequence[Pair], scale: int, crop: int | None, *, strict: bool) -> Audited:
    """Check all sizes and dtypes from the headers.

    Args:
        crop: pixels a side that every target must have; None for as many as ``scale``.
        strict: whether an unreadable file is refused now; otherwise it is named when it is loaded.

    Raises:
        UserError: naming the file and the sizes.
    """
    targets = read_infos([pair.target for pair in pairs], strict=strict)
    given = [pair for pair in pairs if pair.source != pair.target]
    sources = read_infos([pair.source for pair in given], strict=strict) if given else targets
    _check_large([(pair.target, targets[pair.target]) for pair in pairs if pair.target in targets], scale, crop)
    for pair in pairs:
        if given and pair.target in targets and pair.source in sources:
            check_sizes(pair, _size(sources[pair.source]), _size(targets[pair.target]), scale)
    return Audited(one_dtype(sources), one_dtype(targets))


def _size(info: ImageInfo) -> tuple[int, int]:
    return info.height, info.width


def _check_large(images: Sequence[tuple[pathlib.Path, ImageInfo]], scale: int, crop: int | None) -> None:
    least = crop or scale
    small = [(path, info) for path, info in images if min(_size(info)) < least]
    if not small:
        return
    path, info = min(small, key=lambda image: min(_size(image[1])))
    best = min(_size(info))
    out = "leave the file out" if len(small) == 1 else f"leave the {len(small)} images out that are smaller"
    fix = f"set --crop_size {best - best % scale} or less, or {out}" if best >= scale else out
    what = f"--crop_size {crop}" if crop else f"--scale {scale}"
    raise UserError(f"{path}: {info.width}x{info.height} pixels, too few for {what}; {fix}")


def check_sizes(pair: Pair, source: tuple[int, int], target: tuple[int, int], scale: int) -> None:
    """UserError unless the target is ``scale`` times as large as the source, but for less than a pixel of it.

    Sizes are height and width.
    """
    if all(0 <= large - scale * small < scale for small, large in zip(source, target, strict=True)):
        return
    expected = f"{target[1] // scale}x{target[0] // scale}"
    raise UserError(
        f"{pair.source}: {source[1]}x{source[0]} pixels, but {pair.target} has {target[1]}x{target[0]}, whose "
        f"--scale {scale} part is {expected}; make the files fit, or give the right --scale"
    )
