"""Which way up a picture is: the EXIF and TIFF tag 274, applied to arrays of any depth and channels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

TAG = 274


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return H x W x C as it is meant to be seen; values of the tag other than 2 to 8 change nothing."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def is_transposed(orientation: int) -> bool:
    """Return whether height and width change places."""
    return 5 <= orientation <= 8


def of_exif(content: bytes) -> int:
    """Return the orientation that a block of EXIF data names; 1 where it names none or is damaged."""
    from PIL import Image

    exif = Image.Exif()

    def loaded() -> Image.Exif:
        exif.load(content)
        return exif

    return _named_by(loaded)


def of_picture(image: Image.Image) -> int:
    """Return the orientation that the EXIF data of an opened file names; 1 where they name none or are damaged."""
    return _named_by(image.getexif)


def _named_by(read: Callable[[], Image.Exif]) -> int:
    with contextlib.suppress(Exception):  # parsers raise anything on damaged bytes; the pixels matter more
        return int(read().get(TAG, 1))
    return 1
