"""``prepare.py combine``: two folders of equal names -> images with A left and B right, depth and values kept."""

from __future__ import annotations

import argparse
import pathlib
import shutil

import numpy as np

from data.listing import by_stem, images_in
from data.readers import read_image
from data.tools.folders import check_free, existing_folder, partial_folder
from data.writers import FileFormat, write_image
from util.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--dir_A", required=True, help="folder of the A images; subfolders such as train/ are kept")
    parser.add_argument("--dir_B", required=True, help="folder of the B images, with the same names")
    parser.add_argument("--out", required=True, help="folder to make")


def run(args: argparse.Namespace) -> None:
    """Join every pair; UserError when a partner is missing or the two do not fit in one image."""
    folder_a, folder_b = existing_folder("--dir_A", args.dir_A), existing_folder("--dir_B", args.dir_B)
    out = pathlib.Path(args.out)
    check_free(out)
    pairs = _pairs(folder_a, folder_b)
    partial = partial_folder(out)
    try:
        for stem, (path_a, path_b) in pairs.items():
            image = join(path_a, path_b)
            suffix = FileFormat(image.dtype.name, image.shape[2]).suffix
            write_image(partial / f"{stem}{suffix}", image)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{len(pairs)} pairs; train with: --dataroot {out}")


def _pairs(folder_a: pathlib.Path, folder_b: pathlib.Path) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    files_a = by_stem(images_in(folder_a, "the A image of every pair"), folder_a)
    files_b = by_stem(images_in(folder_b, "the B image of every pair"), folder_b)
    for stem in sorted(files_a.keys() ^ files_b.keys()):
        here, there = (files_a, folder_b) if stem in files_a else (files_b, folder_a)
        raise UserError(f"{here[stem]}: no '{stem}' in {there}; add or remove it")
    return {stem: (path, files_b[stem]) for stem, path in files_a.items()}


def join(path_a: str | pathlib.Path, path_b: str | pathlib.Path) -> np.ndarray:
    """Return A and B (H, 2W, C) side by side; one grey and one colour image become both colour.

    Raises:
        UserError: the sizes or number types differ; naming both files.
    """
    a, b = read_image(path_a), read_image(path_b)
    if a.shape[:2] != b.shape[:2]:
        raise UserError(f"{path_a}: {a.shape[1]}x{a.shape[0]} pixels, but {path_b} has {b.shape[1]}x{b.shape[0]}")
    if a.dtype != b.dtype:
        raise UserError(
            f"{path_a}: {a.dtype}, but {path_b} is {b.dtype}; one file cannot hold both. Train on the two folders "
            "with --dir_A and --dir_B instead"
        )
    channels = max(a.shape[2], b.shape[2])
    if any(image.shape[2] not in (1, channels) for image in (a, b)):
        raise UserError(f"{path_a}: {a.shape[2]} channels, but {path_b} has {b.shape[2]}; make them equal")
    return np.concatenate([np.broadcast_to(image, (*image.shape[:2], channels)) for image in (a, b)], axis=1)
