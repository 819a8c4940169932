"""``prepare.py snap``: give the background of depth maps the one level that was found for each image.

Background is what lies within --tolerance of the level, or with --mask what another run took for background. Folders
are results folders of test.py or plain ones; images belong together by name, --label aside.
"""

from __future__ import annotations

import argparse
import pathlib
import shutil
from collections.abc import Iterable

import numpy as np

from data.readers import read_image
from data.tools.folders import check_free, existing_folder, partial_folder
from data.tools.submission import find_results
from data.value_range import as_dtype
from data.writers import FileFormat, write_image
from util.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--depth", required=True, help="folder of the depth maps")
    parser.add_argument("--levels", required=True, help="folder of images of one value, the level of the background")
    parser.add_argument("--tolerance", type=float, help="how far from its level background may lie, in units of files")
    parser.add_argument("--mask", help="folder of images that are bright where the background is")
    parser.add_argument("--mask_label", default="background", help="which images of a results folder (%(default)s)")
    parser.add_argument("--label", default="fake_B", help="the same for depth maps and levels (%(default)s)")
    parser.add_argument("--out", required=True, help="folder to make")


def run(args: argparse.Namespace) -> None:
    """Write the snapped maps; UserError where an image lacks its level or mask, or sizes differ."""
    if (args.tolerance is None) == (args.mask is None):
        raise UserError("--tolerance or --mask: give one of them, so that it is known what the background is")
    files = _find(args)
    out = pathlib.Path(args.out)
    check_free(out)
    partial, shares = partial_folder(out), []
    middle = middle_of(files["mask"].values()) if args.mask else 0.0
    try:
        for name, path in files["depth"].items():
            depth, level = read_image(path), float(np.median(read_image(files["levels"][name])))
            near = np.abs(depth.astype(np.float64) - level) <= (args.tolerance or 0)
            background = brighter(files["mask"][name], middle, depth) if args.mask else near
            snapped = np.where(background, as_dtype(np.array(level), depth.dtype.name), depth)
            write_image(partial / f"{name}{FileFormat(depth.dtype.name, depth.shape[2]).suffix}", snapped)
            shares.append(float(background.mean()))
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{out}: {len(shares)} images, {np.mean(shares):.0%} of their pixels snapped")


def _find(args: argparse.Namespace) -> dict[str, dict[str, pathlib.Path]]:
    """Return the files of depth maps, levels and masks by name."""
    labels = {"depth": args.label, "levels": args.label} | ({"mask": args.mask_label} if args.mask else {})
    folders = {kind: existing_folder(f"--{kind}", getattr(args, kind)) for kind in labels}
    files = {kind: find_results(folder, labels[kind]) for kind, folder in folders.items()}
    for kind, found in files.items():
        if missing := sorted(files["depth"].keys() - found.keys()):
            raise UserError(f"--{kind} {folders[kind]}: no '{missing[0]}' ({len(missing)} missing)")
    return files


def middle_of(paths: Iterable[pathlib.Path]) -> float:
    """Return the value halfway between the darkest and the brightest pixel of all masks."""
    ends = [(float(image.min()), float(image.max())) for image in map(read_image, paths)]
    return (min(low for low, _ in ends) + max(high for _, high in ends)) / 2


def brighter(path: pathlib.Path, middle: float, depth: np.ndarray) -> np.ndarray:
    """Return (H,W,1) bool, where a mask is brighter than ``middle``; UserError where it has another size."""
    mask = read_image(path)
    if mask.shape[:2] != depth.shape[:2]:
        raise UserError(f"{path}: another size than its depth map has; translate both at one size")
    return mask.astype(np.float64).mean(axis=2, keepdims=True) > middle
