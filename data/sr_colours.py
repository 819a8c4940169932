"""The colours of one sample of which a network sees the Y channel alone, or of a grey file among colour files."""

from __future__ import annotations

import functools
import pathlib
from dataclasses import dataclass

import numpy as np

from data.bicubic import Box, shrink
from data.colour import file_luma, rounded
from data.painting import Painter, unit_chroma
from data.readers import read_image


@dataclass(frozen=True)
class Colours:
    """Reads what it needs when it is asked.

    Args:
        source: the small image; the same file as ``target`` where it is made by shrinking.
        target: the large image.
        scale: how many times larger it is.
        size: height and width of the target's part that counts.
    """

    source: pathlib.Path
    target: pathlib.Path
    scale: int
    size: tuple[int, int]

    @functools.cached_property
    def target_pixels(self) -> np.ndarray:
        """Return the target (H,W,C) in file values."""
        return read_image(self.target)[: self.size[0], : self.size[1]]

    @property
    def is_grey(self) -> bool:
        """Return whether the target's file has no colours."""
        return self.target_pixels.shape[2] < 3

    @functools.cached_property
    def _chroma(self) -> np.ndarray:
        """Return Cb and Cr (h,w,2) of the small image in fractions of full intensity, not rounded."""
        if self.source == self.target:
            return shrink(unit_chroma(self.target_pixels), self.scale)
        return unit_chroma(read_image(self.source))

    def _read(self, box: Box) -> np.ndarray:
        top, left, height, width = box
        return self._chroma[top : top + height, left : left + width]

    def painted(self, y: np.ndarray) -> np.ndarray:
        """Return RGB (H,W,3) of Y (H,W,1), small or large: Cb and Cr are the small image's, enlarged by bicubic."""
        height, width = self._chroma.shape[:2]
        return Painter((height, width), y.shape[0] // height, self._read)(y)

    def luma(self, image: np.ndarray) -> np.ndarray:
        """Return Y (H,W,1) of an output or target in the image's dtype; of a grey file its value, as it stands."""
        if self.is_grey and image.shape[2] == 3:
            return rounded(image.astype(np.float64).mean(2, keepdims=True), image.dtype)
        return file_luma(image)

    def shrunken_luma(self) -> np.ndarray:
        """Return the target's rounded Y, shrunken and not rounded again: the published input of "bicubic"."""
        return shrink(file_luma(self.target_pixels).astype(np.float64), self.scale)
