"""``prepare.py baselines``: what predictions that have learned nothing of the structure would score.

A model is only worth something when its RMSE is well below both of these.
"""

from __future__ import annotations

import argparse
import pathlib
import re
from collections.abc import Sequence

import numpy as np

from data.listing import by_stem, images_in
from data.readers import read_image
from data.tools.folders import existing_folder
from util.errors import UserError

PathPair = tuple[str | pathlib.Path, str | pathlib.Path]
_BINS = 256


def baseline_rmse(train: Sequence[PathPair], test: Sequence[PathPair]) -> dict[str, float]:
    """Return RMSE on the test pairs, in the target's file units, of two predictions fitted on the training pairs.

    ``mean_map_rmse`` predicts the mean training target at each pixel (each channel's mean where sizes differ);
    ``intensity_regression_rmse`` the mean training target at the source's grey value. Non-finite targets are left out.
    """
    if not train or not test:
        raise ValueError("baselines need at least one training pair and one test pair")
    mean_map = _mean_map([target for _, target in train])
    bins = _fit_bins(train)
    errors = np.zeros(3)
    for source, target in test:
        truth = _values(target)
        guess = mean_map if mean_map.shape == truth.shape else mean_map.mean((0, 1))
        for i, prediction in enumerate((guess, _regress(bins, _grey(source), truth.shape))):
            errors[i] += np.nansum((prediction - truth) ** 2)
        errors[2] += np.isfinite(truth).sum()
    rmse = np.sqrt(errors[:2] / max(errors[2], 1.0))
    return {"mean_map_rmse": float(rmse[0]), "intensity_regression_rmse": float(rmse[1])}


def _values(path: str | pathlib.Path) -> np.ndarray:
    image = read_image(path).astype(np.float64)
    return np.where(np.isfinite(image), image, np.nan)


def _grey(path: str | pathlib.Path) -> np.ndarray:
    """Return the mean (H,W) of the colour channels."""
    image = np.nan_to_num(_values(path))
    return image[..., : 3 if image.shape[2] > 2 else 1].mean(2)


def _mean_map(targets: Sequence[str | pathlib.Path]) -> np.ndarray:
    """Return the pixelwise mean (H,W,C), or (1,1,C) where the targets differ in size."""
    total: np.ndarray | None = None
    for path in targets:
        image = _values(path)
        part = np.stack([np.nan_to_num(image), np.isfinite(image)])
        if total is not None and total.shape != part.shape:
            total, part = (a.sum((1, 2), keepdims=True) for a in (total, part))
        total = part if total is None else total + part
    assert total is not None
    channel = total[0].sum((0, 1)) / np.maximum(total[1].sum((0, 1)), 1.0)
    return np.where(total[1] > 0, total[0] / np.maximum(total[1], 1.0), channel)


def _fit_bins(pairs: Sequence[PathPair]) -> tuple[np.ndarray, np.ndarray]:
    """Return the grey value (BINS,) and the mean target (BINS, C) of each bin that holds pixels."""
    greys = [_grey(source) for source, _ in pairs]
    low, high = min(g.min() for g in greys), max(g.max() for g in greys)
    sums: np.ndarray | float = 0.0
    for grey, (source, target) in zip(greys, pairs, strict=True):
        truth = _values(target)
        if truth.shape[:2] != grey.shape:
            raise UserError(f"{source}: {grey.shape} pixels, but its pair {target} has {truth.shape[:2]}")
        index = np.minimum(((grey - low) / max(high - low, 1e-12) * _BINS).astype(int), _BINS - 1).ravel()
        columns = [grey.ravel(), np.ones(grey.size), *_masked(truth)]
        sums = sums + np.stack([np.bincount(index, column, _BINS) for column in columns], 1)
    assert isinstance(sums, np.ndarray)
    channels = (sums.shape[1] - 2) // 2
    kept = sums[(sums[:, 1] > 0) & (sums[:, 2 + channels :] > 0).all(1)]
    return kept[:, 0] / kept[:, 1], kept[:, 2 : 2 + channels] / kept[:, 2 + channels :]


def _masked(truth: np.ndarray) -> list[np.ndarray]:
    """Return each channel's values with 0 for missing ones, then each channel's mask, all flat."""
    flat = truth.reshape(-1, truth.shape[2]).T
    return [*np.nan_to_num(flat), *np.isfinite(flat).astype(np.float64)]


def _regress(bins: tuple[np.ndarray, np.ndarray], grey: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    channels = [np.interp(grey, bins[0], bins[1][:, c]) for c in range(shape[2])]
    return np.stack(channels, 2)


def pairs_of(folder_a: pathlib.Path, folder_b: pathlib.Path) -> list[PathPair]:
    """Pair files by relative stem; several scans ``NAME_itrK`` share the target ``NAME``."""
    targets = by_stem(images_in(folder_b, "target images"), folder_b)
    pairs: list[PathPair] = []
    for stem, path in by_stem(images_in(folder_a, "source images"), folder_a).items():
        target = targets.get(stem) or targets.get(re.sub(r"_itr\d+$", "", stem))
        if target is None:
            raise UserError(f"{path}: no '{stem}' in {folder_b}; add it, or remove this file")
        pairs.append((path, target))
    return pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--dataroot", required=True, help="folder with train/ and the phase to score")
    parser.add_argument("--dir_A", default="sem", help="source folder in each phase (%(default)s)")
    parser.add_argument("--dir_B", default="depth", help="target folder in each phase (%(default)s)")
    parser.add_argument("--phase", default="test", help="what to score (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Print both figures."""
    root = existing_folder("--dataroot", args.dataroot)
    train, test = (pairs_of(root / phase / args.dir_A, root / phase / args.dir_B) for phase in ("train", args.phase))
    for name, value in baseline_rmse(train, test).items():
        print(f"{name:26} {value:.6g}")
