"""Where tiles are cut from: a tensor, or an image in a scratch file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from inference.tiling.boxes import Box
from inference.tiling.symmetry import Symmetry
from models.networks.mirrored import mirrored_indices

_ROWS = 128


class Source(Protocol):
    """An image of known size that can be read in parts."""

    @property
    def frame(self) -> Box:
        """Return the whole image as a box that begins at (0, 0)."""

    @property
    def channels(self) -> int:
        """Return the number of channels."""

    def read(self, box: Box) -> Tensor:
        """Return (1,C,h,w) float32 in [-1,1]."""


class TensorSource:
    """One image (1,C,H,W) in memory."""

    def __init__(self, image: Tensor) -> None:
        self.image = image
        self.frame, self.channels = Box(0, 0, *image.shape[-2:]), image.shape[1]

    def read(self, box: Box) -> Tensor:
        """Return a part of it."""
        return self.image[..., box.top : box.bottom, box.left : box.right]


class Stored(Protocol):
    """File values of known size that can be read in parts."""

    height: int
    width: int

    def read(self, box: Box) -> np.ndarray:
        """Return h x w x C."""


class ScratchSource:
    """File values in a scratch file.

    Args:
        convert: h x w x C file values to the same in [-1,1].
        channels: that ``convert`` returns.
    """

    def __init__(self, scratch: Stored, convert: Callable[[np.ndarray], np.ndarray], channels: int) -> None:
        self.scratch, self.convert, self.channels = scratch, convert, channels
        self.frame = Box(0, 0, scratch.height, scratch.width)

    def read(self, box: Box) -> Tensor:
        """Return a part of it; some rows are converted at once, as they take 8 bytes a number on their way."""
        result = torch.empty(1, self.channels, box.height, box.width)
        for top in range(box.top, box.bottom, _ROWS):
            rows = box._replace(top=top, bottom=min(top + _ROWS, box.bottom))
            values = torch.from_numpy(np.ascontiguousarray(self.convert(self.scratch.read(rows))))
            result[0, :, top - box.top : rows.bottom - box.top] = values.permute(2, 0, 1)
        return result


class Converted:
    """A source with its values mapped one by one."""

    def __init__(self, source: Source, convert: Callable[[Tensor], Tensor]) -> None:
        self.source, self.convert = source, convert
        self.frame, self.channels = source.frame, source.channels

    def read(self, box: Box) -> Tensor:
        """Return a part of it."""
        return self.convert(self.source.read(box))


class Padded:
    """A source mirrored beyond its lower and right borders, so that its size suits a network."""

    def __init__(self, source: Source, height: int, width: int) -> None:
        self.source, self.channels = source, source.channels
        self.frame = Box(0, 0, height, width)
        self._rows = mirrored_indices(source.frame.height, height)
        self._columns = mirrored_indices(source.frame.width, width)

    def read(self, box: Box) -> Tensor:
        """Return a part of it."""
        rows, columns = self._rows[box.top : box.bottom], self._columns[box.left : box.right]
        held = Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
        part = self.source.read(held)
        if held == box:
            return part
        return part[..., rows - held.top, :][..., columns - held.left]


class Turned:
    """A source under one of the symmetries of a square."""

    def __init__(self, source: Source, symmetry: Symmetry) -> None:
        self.source, self.symmetry, self.channels = source, symmetry, source.channels
        self.frame = symmetry.size(source.frame)

    def read(self, box: Box) -> Tensor:
        """Return a part of it."""
        return self.symmetry.there(self.source.read(self.symmetry.box_back(box, self.source.frame)))
