"""The domains of all images that a model makes, by label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from data.value_range import ValueRange
from data.writers import FileFormat
from inference.outputs import to_file_values


@dataclass(frozen=True)
class Domains:
    """Ranges and file formats by side, "A" for the source and "B" for the target; a missing "B" is as "A".

    ``sides`` says which side each of the model's labels belongs to.
    """

    ranges: Mapping[str, ValueRange]
    formats: Mapping[str, FileFormat]
    sides: Mapping[str, str]

    def range(self, label: str) -> ValueRange:
        """Return the file values that -1 and 1 stand for."""
        return self.ranges.get(self.sides[label], self.ranges["A"])

    def values(self, label: str, image: Tensor, mask: Tensor | None = None) -> np.ndarray:
        """Return (H,W,C) in file units and dtype of a (C,H,W) image in [-1,1]; NaN where a (1,H,W) mask is 0."""
        file_format = self.formats.get(self.sides[label], self.formats["A"])
        values = to_file_values(image, self.range(label), file_format.dtype)
        if mask is None:
            return values
        return np.where(mask.permute(1, 2, 0).numpy() > 0, values, np.float32(np.nan))
