"""Choose validation images that look, in the mean and variance of each channel, as the images of a test set do.

What a validation score says of a test score depends on how alike the two sets are. The choice begins with one that
depends on names and seed alone; then one group after the other is exchanged for whichever brings the two sets closest,
until no exchange helps.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data.folds import ranked
from data.readers import read_image
from util.errors import UserError

_PASSES = 20


def features(rows: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation (..., 2, channels) of the pixels of sets with these moments.

    Args:
        rows: number, sum and sum of squares of a set's pixels, (..., 3, channels) float64.
    """
    pixels, total, squares = np.moveaxis(rows, -2, 0)
    mean = total / np.maximum(pixels, 1.0)
    return np.stack([mean, np.sqrt(np.maximum(squares / np.maximum(pixels, 1.0) - mean**2, 0.0))], -2)


def rematch(
    phases: Mapping[str, str], owners: Mapping[pathlib.Path, str], test: Sequence[pathlib.Path], seed: int
) -> dict[str, str]:
    """Return the phases of all groups with as many in val, but chosen to look as the test images do; say how alike.

    Args:
        phases: group -> train, val or test, whose groups stay.
        owners: image -> its group.

    Raises:
        UserError: val is empty, or an image cannot be read or has other channels.
    """
    measured = measure([*test, *owners])
    wanted = np.sum(measured[: len(test)], 0)
    free = {group: np.zeros_like(wanted) for group, phase in phases.items() if phase != "test"}
    for group, moments in zip(owners.values(), measured[len(test) :], strict=True):
        if group in free:
            free[group] += moments
    before = [group for group in free if phases[group] == "val"]
    if not before:
        raise UserError("--val_fraction 0: there is no val for --match to choose; give it a share")
    after = choose(free, len(before), wanted, seed)
    print(describe("--match", [wanted]))
    for name, kept in (("val by chance", before), ("val as chosen", after)):
        rows = [free[group] for group in kept]
        print(f"{describe(name, rows)}; distance {distance(np.sum(rows, 0), wanted):.3g}")
    return {g: "test" if phase == "test" else "val" if g in after else "train" for g, phase in phases.items()}


def measure(paths: Sequence[pathlib.Path]) -> list[np.ndarray]:
    """Return the moments (3, channels) of each image's finite pixels: number, sum and sum of squares.

    Raises:
        UserError: an image cannot be read, or has other channels than the first.
    """
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(_moments, paths))
    for path, moments in zip(paths, found, strict=True):
        if moments.shape != found[0].shape:
            raise UserError(
                f"{path}: {moments.shape[1]} channel(s), but {paths[0]} has {found[0].shape[1]}; make them equal"
            )
    return found


def _moments(path: pathlib.Path) -> np.ndarray:
    image = read_image(path).astype(np.float64)
    known = np.isfinite(image)
    values = np.where(known, image, 0.0)
    return np.stack([known.sum((0, 1)), values.sum((0, 1)), (values**2).sum((0, 1))]).astype(np.float64)


def choose(groups: Mapping[str, np.ndarray], count: int, wanted: np.ndarray, seed: int) -> list[str]:
    """Return ``count`` groups whose pixels together have the mean and deviation of ``wanted`` as nearly as found.

    Args:
        groups: name -> moments (3, channels).
        wanted: moments (3, channels) of the test images.
    """
    names = ranked(groups, seed)
    rows = np.stack([groups[name] for name in names])
    chosen = np.arange(len(names)) < count
    for _ in range(_PASSES):
        if not any([_exchange(rows, chosen, place, wanted) for place in np.flatnonzero(chosen).tolist()]):
            break
    return [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]


def _exchange(rows: np.ndarray, chosen: np.ndarray, place: int, wanted: np.ndarray) -> bool:
    """Put the best other group into the place of a chosen one, in place; return whether any was better."""
    others = np.flatnonzero(~chosen)
    rest = rows[chosen].sum(0) - rows[place]
    distances = distance(rest + rows[np.append(others, place)], wanted)
    best = int(distances.argmin())
    if best == len(others) or distances[best] >= distances[-1] * (1 - 1e-9):
        return False
    chosen[place], chosen[others[best]] = False, True
    return True


def distance(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return how far sets (..., 3, channels) are from the wanted one, in its standard deviations: 0 is alike."""
    target = features(wanted)
    scale = np.maximum(target[1], 1e-12)
    return np.sqrt((((features(rows) - target) / scale) ** 2).sum((-2, -1)))


def describe(name: str, rows: Iterable[np.ndarray]) -> str:
    """Return one line with the mean and standard deviation of each channel of a set of images."""
    mean, deviation = features(np.sum(list(rows), 0))
    return f"{name}: mean {_figures(mean)}, standard deviation {_figures(deviation)}"


def _figures(values: np.ndarray) -> str:
    return " ".join(f"{value:.4g}" for value in values)
