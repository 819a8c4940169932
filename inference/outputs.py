"""Network output -> arrays in file units, ready to be written."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from data.value_range import ValueRange, as_dtype


def to_file_values(image: Tensor, value_range: ValueRange, dtype: str) -> np.ndarray:
    """Return (H,W,C) values of ``dtype`` for a (C,H,W) tensor in [-1,1]; integers are rounded, never truncated."""
    return as_dtype(value_range.restore(image.permute(1, 2, 0).numpy()), dtype)


def stretch(image: np.ndarray, aspect_ratio: float) -> np.ndarray:
    """Return the image with its width multiplied by ``aspect_ratio``, by enlarging one side; 1 changes nothing."""
    if aspect_ratio == 1:
        return image
    import cv2

    height, width = image.shape[:2]
    size = (round(width * aspect_ratio), height) if aspect_ratio > 1 else (width, round(height / aspect_ratio))
    stretched = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    return stretched[..., None] if stretched.ndim == 2 else stretched
