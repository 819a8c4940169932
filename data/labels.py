"""Values of classes in files: their range, and a number type that holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.value_range import ValueRange


def label_range(values: Sequence[float]) -> ValueRange:
    """Return the range that takes the lowest value to -1 and the highest to 1."""
    return ValueRange(min(values), max(values))


def label_dtype(values: Sequence[float]) -> str:
    """Return the smallest number type of files that holds the values."""
    if any(value != round(value) or value > np.iinfo("uint16").max for value in values):
        return "float32"
    return "uint8" if max(values) <= np.iinfo("uint8").max else "uint16"
