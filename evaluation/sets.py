"""All results of a test against all its targets: FID and KID, from the files that were written."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from data.readers import read_image
from data.value_range import ValueRange
from evaluation.inception import FeatureNetwork


class SetComparison:
    """Collects the files of a test and compares them in the end, one at a time in memory.

    Args:
        network: whose features are compared.
        result: label of the outputs.
        value_range: file values of black and white.
        target: label of the truth, or of any images of the target domain.
    """

    def __init__(self, network: FeatureNetwork, result: str, value_range: ValueRange, target: str = "real_B") -> None:
        self.network, self.value_range = network, value_range
        self._files: dict[str, list[pathlib.Path]] = {result: [], target: []}

    def add(self, files: Mapping[str, pathlib.Path]) -> None:
        """Note the files of one image, by label."""
        for label, paths in self._files.items():
            if label in files:
                paths.append(files[label])

    def measure(self) -> dict[str, float]:
        """Return FID and KID under the network's names; nothing without two images of each kind."""
        fakes, reals = self._files.values()
        if min(len(fakes), len(reals)) < 2:
            return {}
        return self.network.compare(self._read(fakes), self._read(reals))

    def _read(self, paths: Iterable[pathlib.Path]) -> Iterator[np.ndarray]:
        low, high = self.value_range.low, self.value_range.high
        for path in paths:
            unit = (read_image(path).astype(np.float64) - low) / (high - low)
            yield np.nan_to_num(unit, nan=0.0).clip(0, 1)
