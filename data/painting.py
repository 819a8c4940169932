"""Colours for a large Y: Cb and Cr of the small image, enlarged by bicubic, as super-resolution papers show results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data.bicubic import Box, Size, part_of_enlarged
from data.colour import TOPS, chroma, rounded, to_rgb

_AT_ONCE = 1 << 17  # pixels; colours take a hundred bytes each on their way


def unit_chroma(image: np.ndarray) -> np.ndarray:
    """Return Cb and Cr (H,W,2) of (H,W,3) file values, in fractions of full intensity."""
    top = TOPS[image.dtype.name]
    return chroma(image, top) / top


@dataclass(frozen=True)
class Painter:
    """Paints a large Y, whole or in parts, with the colours of a small image.

    Args:
        size: height and width of the small image.
        scale: how many times larger Y is.
        read: returns Cb and Cr (h,w,2) of a part (top, left, height, width) of the small image, as
            :func:`unit_chroma` does.
    """

    size: Size
    scale: int
    read: Callable[[Box], np.ndarray]

    def __call__(self, y: np.ndarray, top: int = 0, left: int = 0) -> np.ndarray:
        """Return RGB (H,W,3) of Y (H,W,1) in file values, both in Y's dtype.

        Args:
            y: the whole, or the part that begins at ``top`` and ``left``.
        """
        painted = np.empty((*y.shape[:2], 3), y.dtype)
        count = max(1, _AT_ONCE // y.shape[1])
        for row in range(0, y.shape[0], count):
            rows = y[row : row + count]
            painted[row : row + count] = self._paint(rows, (top + row, left, *rows.shape[:2]))
        return painted

    def _paint(self, y: np.ndarray, box: Box) -> np.ndarray:
        top = TOPS[y.dtype.name]
        part = part_of_enlarged(self.size, self.scale, box)
        return rounded(to_rgb(y, part(self.read(part.box)) * top, top), y.dtype)
