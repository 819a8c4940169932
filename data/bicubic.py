"""Antialiased bicubic resizing as MATLAB's imresize defines it, by which super-resolution papers make their inputs.

Keys' kernel with a = -0.5 (Keys 1981), widened by the scale when shrinking, its weights normalised to a sum of 1, and
borders reflected with the outermost pixel repeated. Other kernels look alike and cost a network decibels on real
test sets.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from data.colour import rounded

Size = tuple[int, int]
Box = tuple[int, int, int, int]
_SUPPORT = 4.0  # pixels that the kernel spans


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Return (H,W) or (H,W,C) resized to (height, width).

    uint8 and uint16 are computed in floats and rounded once at the end, halves upwards; floats are not clipped.
    """
    rows = _taps(image.shape[0], size[0], image.shape[0] / size[0])
    columns = _taps(image.shape[1], size[1], image.shape[1] / size[1])
    return rounded(_apply(_floats(image), rows, columns), image.dtype)


def shrink(image: np.ndarray, scale: int) -> np.ndarray:
    """Return (H,W) or (H,W,C) reduced ``scale`` times, a last part of a pixel counting as one; ``scale`` 1 or more."""
    size = math.ceil(image.shape[0] / scale), math.ceil(image.shape[1] / scale)
    rows, columns = (_taps(length, out, scale) for length, out in zip(image.shape, size, strict=False))
    return rounded(_apply(_floats(image), rows, columns), image.dtype)


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Return (H,W) or (H,W,C) enlarged ``scale`` times."""
    return resize(image, (image.shape[0] * scale, image.shape[1] * scale))


@dataclass(frozen=True)
class Part:
    """How to make a part of a resized image without the rest: which source pixels it needs, and the weights.

    Args:
        box: top, left, height and width in the source.
    """

    box: Box
    rows: Taps
    columns: Taps

    def __call__(self, source: np.ndarray) -> np.ndarray:
        """Return the part of the resized image for the source's pixels in ``box``, (h,w) or (h,w,C)."""
        return rounded(_apply(_floats(source), self.rows, self.columns), source.dtype)


def part_of_shrunken(size: Size, scale: int, box: Box) -> Part:
    """Return how to make ``box`` (top, left, height, width) of an image of ``size`` shrunken ``scale`` times.

    It gives exactly the pixels that shrinking the whole image gives, at borders too.
    """
    rows, columns = (_taps(length, math.ceil(length / scale), scale) for length in size)
    return _part(rows, columns, box)


def part_of_enlarged(size: Size, scale: int, box: Box) -> Part:
    """Return how to make ``box`` (top, left, height, width) of an image of ``size`` enlarged ``scale`` times."""
    rows, columns = (_taps(length, length * scale, 1 / scale) for length in size)
    return _part(rows, columns, box)


def _part(rows: Taps, columns: Taps, box: Box) -> Part:
    top, left, height, width = box
    rows, columns = rows.part(top, height), columns.part(left, width)
    (first, rows), (start, columns) = rows.from_zero(), columns.from_zero()
    return Part((first, start, rows.reach, columns.reach), rows, columns)


@dataclass(frozen=True)
class Taps:
    """One axis: the source pixels of each output pixel and their weights, each (out, taps)."""

    indices: np.ndarray
    weights: np.ndarray

    @property
    def reach(self) -> int:
        """Return how many source pixels from the first on are used."""
        return int(self.indices.max()) + 1

    def part(self, begin: int, count: int) -> Taps:
        """Return the taps of some consecutive output pixels."""
        return Taps(self.indices[begin : begin + count], self.weights[begin : begin + count])

    def from_zero(self) -> tuple[int, Taps]:
        """Return the first source pixel that is used, and the taps counted from there."""
        first = int(self.indices.min())
        return first, Taps(self.indices - first, self.weights)

    def along_first_axis(self, image: np.ndarray) -> np.ndarray:
        """Return (out, ...) for (in, ...)."""
        shape = (-1, *[1] * (image.ndim - 1))
        weights = self.weights.astype(image.dtype)
        total = image[self.indices[:, 0]] * weights[:, 0].reshape(shape)
        for tap in range(1, weights.shape[1]):
            total += image[self.indices[:, tap]] * weights[:, tap].reshape(shape)
        return total


@functools.lru_cache(256)
def _taps(length: int, out: int, shrinking: float) -> Taps:
    """Return the taps from ``length`` to ``out`` pixels whose distance is ``shrinking`` source pixels."""
    widened = max(shrinking, 1.0)
    count = math.ceil(_SUPPORT * widened) + 2
    centers = (np.arange(out) + 0.5) * shrinking - 0.5
    indices = np.floor(centers - _SUPPORT * widened / 2).astype(np.int64)[:, None] + np.arange(count)
    weights = _keys((centers[:, None] - indices) / widened)
    weights /= weights.sum(1, keepdims=True)
    used = np.any(weights != 0, axis=0)
    return Taps(_reflected(indices[:, used], length), weights[:, used])


def _keys(x: np.ndarray) -> np.ndarray:
    """Return the cubic convolution kernel, a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _reflected(indices: np.ndarray, length: int) -> np.ndarray:
    """Fold indices beyond the border back: ... 1 0 | 0 1 2 ... with the outermost pixel twice."""
    folded = np.mod(indices, 2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded)


def _apply(image: np.ndarray, rows: Taps, columns: Taps) -> np.ndarray:
    """Resize both axes; the one that leaves fewer pixels comes first."""
    if len(rows.indices) * image.shape[1] <= image.shape[0] * len(columns.indices):
        return _across(rows.along_first_axis(image), columns)
    return rows.along_first_axis(_across(image, columns))


def _across(image: np.ndarray, columns: Taps) -> np.ndarray:
    turned = np.ascontiguousarray(image.swapaxes(0, 1))
    return np.ascontiguousarray(columns.along_first_axis(turned).swapaxes(0, 1))


def _floats(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32 if image.dtype in (np.uint8, np.float32) else np.float64)
