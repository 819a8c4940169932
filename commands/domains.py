"""What the values of a model's images mean in files: kept by the run, fitted to the files at hand."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from commands.build import build_dataset
from commands.opened_run import saved_domains
from data.value_range import ValueRange
from data.writers import FileFormat
from inference.domain import Domain, fit_domains
from inference.outputs import to_file_values
from options.resolve import Options


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

    def values(self, label: str, image: Tensor) -> np.ndarray:
        """Return (H,W,C) in file units and dtype of a (C,H,W) image in [-1,1]."""
        file_format = self.formats.get(self.sides[label], self.formats["A"])
        return to_file_values(image, self.range(label), file_format.dtype)


def open_data(options: Options, folder: pathlib.Path, sides: Mapping[str, str]) -> tuple[Any, Domains]:
    """Return the data set to translate and the domains of the model's images.

    Raises:
        UserError: the data cannot be opened, or its files are of another depth than the run was trained on and
            nothing says how their values correspond.
    """
    saved = saved_domains(options, folder)
    dataset = build_dataset(options, train=False, ranges=_ranges(saved))
    found = {side: file_format.dtype for side, file_format in dataset.formats.items()}
    fitted = fit_domains(saved, found, f"--dataroot {options.values['dataroot']}")
    if fitted != saved:
        dataset = build_dataset(options, train=False, ranges=_ranges(fitted))
    formats = {side: domain.format for side, domain in fitted.items()}
    return dataset, Domains(dataset.ranges | (_ranges(fitted) or {}), formats | dataset.formats, sides)


def _ranges(domains: Mapping[str, Domain]) -> dict[str, ValueRange] | None:
    return {side: domain.range for side, domain in domains.items()} or None
