"""How far a mean over the images at hand is to be trusted: percentile bootstrap (Efron 1979). Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

DRAWS = 1000
_LEAST = 3  # images, below which resampling tells nothing
_AT_ONCE = 4_000_000  # numbers drawn at once


def intervals(rows: Sequence[Mapping[str, float]], level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Return the interval of each metric's mean over resampled images; images without a finite value are left out.

    ``rmse`` is the root of a mean square, as in the tables. Too few images give no interval.
    """
    found = {}
    for metric in dict.fromkeys(name for row in rows for name in row):
        values = np.array([row[metric] for row in rows if math.isfinite(row.get(metric, math.nan))])
        if len(values) >= _LEAST:
            found[metric] = interval(values, level, root=metric == "rmse")
    return found


def interval(values: np.ndarray, level: float = 0.95, *, root: bool = False) -> tuple[float, float]:
    """Return between which values the mean of as many values lies in a share ``level`` of 1000 fixed resamplings.

    Args:
        root: whether the mean is that of the squares, under a root.
    """
    return _ends(_resampled(values, root), level)


def interval_of_difference(
    values: np.ndarray, others: np.ndarray, level: float = 0.95, *, root: bool = False
) -> tuple[float, float]:
    """Return as :func:`interval` that of the mean of ``values`` less that of ``others``, which belong to them in order.

    The same images are drawn for both, so that what one image is harder than another does not count.
    """
    return _ends(_resampled(values, root) - _resampled(others, root), level)


def _ends(means: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.percentile(means, (50 * (1 - level), 50 * (1 + level)))
    return float(low), float(high)


def _resampled(values: np.ndarray, root: bool) -> np.ndarray:
    """Return the means of all draws, which are the same for as many values."""
    means = np.concatenate(list(_means(values**2 if root else values)))
    return np.sqrt(means) if root else means


def _means(values: np.ndarray) -> Iterator[np.ndarray]:
    random, done = np.random.default_rng(0), 0
    while done < DRAWS:
        count = min(DRAWS - done, max(1, _AT_ONCE // len(values)))
        yield values[random.integers(0, len(values), (count, len(values)))].mean(axis=1)
        done += count
