"""What the values of a model's images mean in files: kept by the run, fitted to the files at hand."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from data.value_range import DTYPE_RANGES, ValueRange
from data.writers import FileFormat
from inference.outputs import to_file_values
from options.build import build_dataset
from options.opened_run import saved_ranges
from options.resolve import Options
from util.errors import UserError

Meaning = tuple[ValueRange, FileFormat]


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
    saved = _saved(options, folder)
    dataset = build_dataset(options, train=False, ranges=_ranges(saved))
    fitted = _fit(saved, dataset.formats, options.values["dataroot"])
    if fitted != saved:
        dataset = build_dataset(options, train=False, ranges=_ranges(fitted))
    formats = {side: file_format for side, (_, file_format) in fitted.items()}
    return dataset, Domains(dataset.ranges | (_ranges(fitted) or {}), formats | dataset.formats, sides)


def _saved(options: Options, folder: pathlib.Path) -> dict[str, Meaning]:
    """Return what training kept; the two sides change places for the generator that translates back."""
    back = {"A": "B", "B": "A"} if options.values.get("model_suffix") == "_B" else {}
    return {
        back.get(side, side): (ValueRange.from_dict(entry["range"]), FileFormat(**entry["format"]))
        for side, entry in saved_ranges(folder).items()
    }


def _ranges(meanings: Mapping[str, Meaning]) -> dict[str, ValueRange] | None:
    return {side: value_range for side, (value_range, _) in meanings.items()} or None


def _fit(saved: dict[str, Meaning], found: Mapping[str, FileFormat], dataroot: str) -> dict[str, Meaning]:
    """Let a run on whole 8-bit or 16-bit ranges take files of the other depth, and answer in that depth."""
    fitted = {side: _convert(meaning, found.get(side), dataroot) for side, meaning in saved.items()}
    deeper = fitted.get("A") != saved.get("A") and "B" in saved and "B" not in found
    if deeper and _is_whole_range(saved["B"]) and saved["B"][1].dtype == saved["A"][1].dtype:
        fitted["B"] = _convert(saved["B"], fitted["A"][1], dataroot)
    return fitted


def _convert(meaning: Meaning, found: FileFormat | None, dataroot: str) -> Meaning:
    value_range, trained = meaning
    if found is None or found.dtype == trained.dtype:
        return meaning
    if _is_whole_range(meaning) and found.dtype in ("uint8", "uint16"):
        return ValueRange(*DTYPE_RANGES[found.dtype]), FileFormat(found.dtype, trained.channels)
    raise UserError(
        f"--dataroot {dataroot}: {found.dtype} files, but the run was trained on {trained.dtype} files with values "
        f"{value_range.low:g} to {value_range.high:g}; convert them to {trained.dtype} with those values"
    )


def _is_whole_range(meaning: Meaning) -> bool:
    value_range, trained = meaning
    return trained.dtype in ("uint8", "uint16") and value_range == ValueRange(*DTYPE_RANGES[trained.dtype])
