"""Drawing in linear light: what is added as light adds, and is encoded for a screen only at the end.

Images are (H,W,3) float32, 1 = the white of the file. The curve is that of IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

import cv2
import numpy as np

Random = np.random.Generator


def to_linear(values: np.ndarray) -> np.ndarray:
    """Return linear light of encoded values in [0,1]."""
    values = np.asarray(values, np.float32)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Return encoded values in [0,1]; light above 1 is clipped, as a sensor clips it."""
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-8) ** (1 / 2.4) - 0.055)


def encoded(light: np.ndarray) -> np.ndarray:
    """Return linear light as 8-bit file values."""
    return np.rint(to_srgb(light) * 255.0).astype(np.uint8)


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return y and x (size, size) of every pixel's centre, the image from 0 to 1."""
    places = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = np.meshgrid(places, places, indexing="ij")
    return y, x


def clouds(random: Random, size: int, coarsest: int = 4, roughness: float = 0.55) -> np.ndarray:
    """Return noise (size, size) of mean 0 and deviation 1, octaves from ``coarsest`` cells across down to the pixel."""
    total, weight, cells = np.zeros((size, size), np.float32), 1.0, coarsest
    while cells <= size:
        values = random.standard_normal((cells + 3, cells + 3)).astype(np.float32)
        total += weight * cv2.resize(values, (size, size), interpolation=cv2.INTER_CUBIC)
        weight, cells = weight * roughness, 2 * cells
    return (total - total.mean()) / max(float(total.std()), 1e-6)


def painted(image: np.ndarray, cover: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return the image with a colour (3,) or picture (H,W,3) over it where ``cover`` (H,W), 0 to 1, says."""
    return image + cover[..., None] * (colour - image)


def softly(inside: np.ndarray, width: float) -> np.ndarray:
    """Return 0 outside to 1 inside of an outline, from the distance inside it; the edge is ``width`` wide."""
    return np.clip(0.5 + inside / width, 0.0, 1.0)
