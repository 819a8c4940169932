"""Networks that see Y of BT.601 alone, on colour images: Y through the network, colours by bicubic enlargement."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np

from data.colour import file_luma
from data.painting import Painter, unit_chroma
from data.sample import fit_channels
from inference.tiling.boxes import Box


def network_values(image: np.ndarray, channels: int, path: pathlib.Path, *, luma: bool) -> np.ndarray:
    """Return the file values (H,W,channels) that a network takes of H x W x C ones; with ``luma`` their Y.

    UserError naming ``path`` where the channels do not fit.
    """
    if luma:
        return file_luma(fit_channels(image, shown_channels(image.shape[2]), path, "input_nc"))
    return fit_channels(image, channels, path, "input_nc")


def shown_channels(channels: int) -> int:
    """Return how many channels the result has for an image: 3, or 1 for grey, with alpha or without."""
    return 1 if channels < 3 else 3


def painter_of(size: tuple[int, int], scale: int, read: Callable[[Box], np.ndarray]) -> Painter:
    """Return what gives results the colours of an image of ``size``, of which ``read`` returns file values."""

    def chroma(box: tuple[int, int, int, int]) -> np.ndarray:
        top, left, height, width = box
        return unit_chroma(read(Box(top, left, top + height, left + width)))

    return Painter(size, scale, chroma)


def painted(y: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the result of a small image in its colours: RGB (H,W,3) of Y (H,W,1), or Y as it is of a grey one.

    Args:
        image: (h,w,C) file values.
    """
    if shown_channels(image.shape[2]) == 1:
        return y
    return painter_of(
        image.shape[:2], y.shape[0] // image.shape[0], lambda box: image[box.top : box.bottom, box.left : box.right]
    )(y)
