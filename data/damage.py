"""What cameras and the web do to images: blur, noise, resizing and JPEG, on (H,W,C) float32 in [0,1]."""

from __future__ import annotations

import math

import cv2
import numpy as np

from data.colour import luma

_RESIZERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def blurred(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return the image filtered by a kernel (k,k), borders mirrored."""
    return _hwc(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101))


def resized(image: np.ndarray, height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Return the image in another size, by area, linear or cubic interpolation at random."""
    method = int(random.choice(_RESIZERS))
    return _hwc(cv2.resize(image, (max(1, width), max(1, height)), interpolation=method))


def with_gaussian_noise(image: np.ndarray, sigma: float, grey: bool, random: np.random.Generator) -> np.ndarray:
    """Return the image with noise of a standard deviation in parts of 255, the same in all channels if ``grey``."""
    noise = random.standard_normal((*image.shape[:2], 1 if grey else image.shape[2]), np.float32)
    return np.clip(image + noise * np.float32(sigma / 255), 0, 1)


def with_poisson_noise(image: np.ndarray, strength: float, grey: bool, random: np.random.Generator) -> np.ndarray:
    """Return the image with the noise of counted photons, times ``strength``."""
    counts = np.rint(np.clip(image, 0, 1) * 255)
    if grey and image.shape[2] == 3:
        counts = np.rint(luma(counts, 255.0))
    levels = counts / 255
    used = np.count_nonzero(np.bincount(counts.astype(np.int64).ravel(), minlength=256))
    photons = 2.0 ** math.ceil(math.log2(max(2, int(used))))
    noise = random.poisson(levels * photons) / photons - levels
    return np.clip(image + np.float32(strength) * noise.astype(np.float32), 0, 1)


def through_jpeg(image: np.ndarray, quality: float) -> np.ndarray:
    """Return the image, of one or three channels, as a JPEG file of this quality keeps it."""
    file_values = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    done, content = cv2.imencode(".jpg", file_values[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    assert done
    flag = cv2.IMREAD_GRAYSCALE if image.shape[2] == 1 else cv2.IMREAD_COLOR
    decoded = cv2.imdecode(content, flag)
    assert decoded is not None
    return _hwc(decoded)[..., ::-1].astype(np.float32) / np.float32(255)


def sharpened(image: np.ndarray, weight: float = 0.5, radius: int = 50, threshold: float = 10 / 255) -> np.ndarray:
    """Return the image with edges sharpened by an unsharp mask, elsewhere as it is."""
    size = radius + 1 - radius % 2
    difference = image - _hwc(cv2.GaussianBlur(image, (size, size), 0))
    mask = (np.abs(difference) > threshold).astype(np.float32)
    soft = _hwc(cv2.GaussianBlur(mask, (size, size), 0))
    return soft * np.clip(image + weight * difference, 0, 1) + (1 - soft) * image


def _hwc(image: np.ndarray) -> np.ndarray:
    return image[..., None] if image.ndim == 2 else image
