"""Which way up a picture is: the EXIF and TIFF tag 274, applied to arrays of any depth and channels."""

from __future__ import annotations

import numpy as np

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
    """Return the orientation that a block of EXIF data names; 1 where it names none."""
    from PIL import Image

    exif = Image.Exif()
    exif.load(content)
    return int(exif.get(TAG, 1))
