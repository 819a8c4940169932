"""How filled images are measured: whole, in the hole alone, and by how wide the hole is, beside OpenCV's inpainting."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data.masks import width_class
from data.value_range import DTYPE_RANGES, ValueRange
from evaluation.measurement import Beside, Row, Sample, Values
from evaluation.metrics import evaluate_pair
from evaluation.perceptual import Lpips

SIMPLE = {"telea": cv2.INPAINT_TELEA, "navier stokes": cv2.INPAINT_NS}
_RADIUS = 3  # pixels around each one that it is made of
_BY_WIDTH = ("hole_psnr", "lpips")  # metrics that are told for each class of holes


@dataclass(frozen=True)
class InAndOutOfHoles:
    """The whole result against the whole target, and the pixels of the hole apart, beside Telea's and Navier-Stokes.

    ``hole_psnr`` and ``hole_mae`` are over the hole's pixels. ``hole_psnr_wide``, ``lpips_narrow`` and so on are the
    same for holes of that class alone, so that their means are those of the class. Images without a hole have neither.
    """

    value_range: ValueRange
    lpips: Lpips | None = None

    def shown(self, sample: Sample) -> Values:
        """Return the images, with Telea's before the result."""
        hole = hole_of(sample)
        given = sample.images["real_A"]
        between = {"telea": simply_filled(given, hole, "telea")} if hole.any() else {}
        return {"real_A": given} | between | sample.images

    def measure(self, sample: Sample, *, beside: bool = True) -> tuple[Row, Beside]:
        """Return the metrics of the result, and those of both of OpenCV's ways."""
        hole, target = hole_of(sample), sample.images["real_B"]
        row = self._row(sample.images[sample.result], target, hole)
        if not beside or not hole.any():
            return row, {}
        given = sample.images["real_A"].astype(target.dtype, copy=False)
        return row, {name: self._row(simply_filled(given, hole, name), target, hole) for name in SIMPLE}

    def _row(self, fake: np.ndarray, real: np.ndarray, hole: np.ndarray) -> Row:
        row = evaluate_pair(fake, real, self.value_range, self.lpips)
        if not hole.any():
            return row
        limits = DTYPE_RANGES["uint8"] if real.dtype == np.uint8 else (self.value_range.low, self.value_range.high)
        inside = evaluate_pair(_only(fake, hole), _only(real, hole), limits)
        row |= {f"hole_{metric}": inside[metric] for metric in ("psnr", "mae")}
        width = width_class(hole)
        return row | {f"{metric}_{width}": row[metric] for metric in _BY_WIDTH if metric in row}


def hole_of(sample: Sample) -> np.ndarray:
    """Return the hole (H,W) bool of a sample whose "A" has its mask as the last channel."""
    return sample.extras["A"][-1].numpy() > 0


def simply_filled(image: np.ndarray, hole: np.ndarray, way: str) -> np.ndarray:
    """Return the image (H,W,C) of any file's dtype with its hole filled by OpenCV; "telea" or "navier stokes"."""
    mask, flag = hole.astype(np.uint8), SIMPLE[way]
    if image.dtype == np.uint8 and image.shape[2] in (1, 3):
        return cv2.inpaint(np.ascontiguousarray(image), mask, _RADIUS, flag).reshape(image.shape)
    planes = (np.ascontiguousarray(image[..., channel]) for channel in range(image.shape[2]))
    return np.stack([cv2.inpaint(plane, mask, _RADIUS, flag) for plane in planes], axis=2)


def _only(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.where(hole[..., None], image.astype(np.float64), np.nan)
