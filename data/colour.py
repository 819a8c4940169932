"""RGB <-> YCbCr of ITU-R BT.601 in studio range, as super-resolution papers measure and train on the Y channel.

For 8-bit files black is Y = 16 and white 235; other depths are scaled alike. Images are (H,W,C) in file values.
"""

from __future__ import annotations

import numpy as np

TOPS = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0, "float64": 1.0}
_TO_YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
_OFFSETS = np.array([16.0, 128.0, 128.0]) / 255
_TO_RGB = np.linalg.inv(_TO_YCBCR)


def luma(image: np.ndarray, top: float) -> np.ndarray:
    """Return Y (H,W,1) as floats; an image of one channel, or of two with alpha, is its own Y.

    Args:
        image: (H,W,C); of more than three channels the first three count.
        top: the file value of full intensity.
    """
    if image.shape[2] < 3:
        return image[..., :1].astype(np.float64)
    return (image[..., :3].astype(np.float64) @ _TO_YCBCR[0] + _OFFSETS[0] * top)[..., None]


def file_luma(image: np.ndarray) -> np.ndarray:
    """Return Y (H,W,1) in the image's own dtype, rounded in integers."""
    values = luma(image, TOPS[image.dtype.name])
    return rounded(values, image.dtype)


def chroma(image: np.ndarray, top: float) -> np.ndarray:
    """Return Cb and Cr (H,W,2) as floats of (H,W,3)."""
    return image[..., :3].astype(np.float64) @ _TO_YCBCR[1:].T + _OFFSETS[1:] * top


def to_rgb(y: np.ndarray, cbcr: np.ndarray, top: float) -> np.ndarray:
    """Return RGB (H,W,3) as floats, maybe beyond the range, of Y (H,W,1) and Cb, Cr (H,W,2)."""
    return (np.concatenate([y, cbcr], axis=2, dtype=np.float64) - _OFFSETS * top) @ _TO_RGB.T


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return values in a file's dtype, halves rounded upwards and clipped in integers."""
    if dtype.kind == "f":
        return values.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    return np.clip(np.floor(values + 0.5), limits.min, limits.max).astype(dtype)
