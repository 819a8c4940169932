"""Structural similarity, at one scale and at several.

Images are float64 (H,W,C) in units of the range, so that black is 0 and white 1. The maps are torchmetrics', blurred by
OpenCV, since torch takes thirty times as long for float64.
"""

from __future__ import annotations

import math

import numpy as np

_WINDOW, _SIGMA, _C1, _C2 = 11, 1.5, 0.01**2, 0.03**2
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
_LEAST = (_WINDOW - 1) << (len(_WEIGHTS) - 1)


def structural_similarity(fake: np.ndarray, real: np.ndarray, valid: np.ndarray, inside: bool) -> float:
    """Return the mean SSIM (Wang et al. 2004) over the valid pixels (H,W); NaN for images smaller than its window.

    Args:
        inside: whether only windows within the image count, instead of mirroring its borders.
    """
    counted = _inside(valid) if inside else valid
    if min(valid.shape) < _WINDOW or not counted.any():
        return math.nan
    luminance, contrast = _maps(fake, real)
    return float((luminance * contrast)[counted].mean())


def has_all_scales(shape: tuple[int, ...]) -> bool:
    """Return whether an image of this height and width has windows at all five scales, as MS-SSIM needs."""
    return min(shape) > _LEAST


def multiscale(fake: np.ndarray, real: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """Return ``ms_ssim`` (Wang et al. 2003), of windows within the image; nothing up to 160 pixels a side.

    A scale that anticorrelates counts as 0.
    """
    if not has_all_scales(valid.shape):
        return {}
    product = 1.0
    for scale, weight in enumerate(_WEIGHTS):
        luminance, contrast = _maps(fake, real)
        kept = _inside(valid)
        if not kept.any():
            return {"ms_ssim": math.nan}
        last = scale == len(_WEIGHTS) - 1
        product *= max(0.0, float((luminance * contrast if last else contrast)[kept].mean())) ** weight
        fake, real, valid = _halved(fake), _halved(real), _halved(valid.astype(np.float64)[..., None])[..., 0] == 1
    return {"ms_ssim": product}


def _maps(fake: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps (H,W,C) of luminance, and of contrast and structure."""
    moments = (fake, real, fake * fake, real * real, fake * real)
    mean_f, mean_r, square_f, square_r, product = (_blur(moment) for moment in moments)
    both, squares = mean_f * mean_r, mean_f**2 + mean_r**2
    luminance = (2 * both + _C1) / (squares + _C1)
    return luminance, (2 * (product - both) + _C2) / (square_f + square_r - squares + _C2)


def _blur(image: np.ndarray) -> np.ndarray:
    import cv2

    blurred = cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return blurred.reshape(image.shape)


def _inside(valid: np.ndarray) -> np.ndarray:
    margin = _WINDOW // 2
    counted = np.zeros_like(valid)
    counted[margin:-margin, margin:-margin] = valid[margin:-margin, margin:-margin]
    return counted


def _halved(image: np.ndarray) -> np.ndarray:
    """Return (H//2,W//2,C): means of 2 x 2 pixels."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).mean(axis=(1, 3))
