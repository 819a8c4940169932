"""How results that are classes of whole images are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.measurement import Beside, Row, Sample, Values
from evaluation.perceptual import Lpips


@dataclass(frozen=True)
class ByLabel:
    """Whether the class is right, and how far its value is from the truth."""

    lpips: Lpips | None = None

    def shown(self, sample: Sample) -> Values:
        """Return the images as they are."""
        return sample.images

    def measure(self, sample: Sample, *, beside: bool = True) -> tuple[Row, Beside]:
        """Return ``accuracy``, 1 or 0, and the difference in value as ``rmse`` and ``mae``."""
        found, truth = (float(np.median(sample.images[label])) for label in (sample.result, "real_B"))
        return {"accuracy": float(found == truth), "rmse": abs(found - truth), "mae": abs(found - truth)}, {}
