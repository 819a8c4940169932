"""What the values of one side's files mean: kept by a run, fitted to the files at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.value_range import DTYPE_RANGES, ValueRange
from data.writers import FileFormat
from util.errors import UserError


@dataclass(frozen=True)
class Domain:
    """The range of a domain's values, and how its files store them.

    ``luma`` says that the values are Y of BT.601, whatever colours the files have.
    """

    range: ValueRange
    format: FileFormat
    luma: bool = False

    @classmethod
    def whole(cls, dtype: str, channels: int) -> Domain:
        """Return the domain whose -1 and 1 are the extremes of a dtype; 0 and 1 for float32."""
        return cls(ValueRange(*DTYPE_RANGES[dtype]), FileFormat(dtype, channels))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Domain:
        """Return the domain of a run's saved ``range``, ``format`` and, where it says so, ``luma``."""
        return cls(ValueRange.from_dict(values["range"]), FileFormat(**values["format"]), values.get("luma") is True)

    def is_whole(self) -> bool:
        """Return whether the values are all of 8 or of 16 bits, so that either depth means the same image."""
        dtype = self.format.dtype
        return dtype in ("uint8", "uint16") and self == self._whole(dtype)

    def _whole(self, dtype: str) -> Domain:
        return dataclasses.replace(Domain.whole(dtype, self.format.channels), luma=self.luma)

    def convert(self, dtype: str, source: str) -> Domain:
        """Return the same domain in files of another dtype: whole 8-bit for whole 16-bit values, or back.

        Args:
            source: where files of this dtype were found, for the message.

        Raises:
            UserError: nothing says how the values correspond.
        """
        if dtype == self.format.dtype:
            return self
        if self.is_whole() and dtype in ("uint8", "uint16"):
            return self._whole(dtype)
        raise UserError(
            f"{source}: {dtype} files, but the run was trained on {self.format.dtype} files with values "
            f"{self.range.low:g} to {self.range.high:g}; convert them to {self.format.dtype} with those values"
        )


def fit_domains(saved: Mapping[str, Domain], found: Mapping[str, str], source: str) -> dict[str, Domain]:
    """Let a run on whole 8-bit or 16-bit values take the other depth, and answer in that depth.

    Args:
        saved: what the run was trained on, by side, "A" for the source and "B" for the target.
        found: the dtypes at hand, by side.
        source: where they were found, for the message.

    Raises:
        UserError: as :meth:`Domain.convert`.
    """
    fitted = {side: domain.convert(found[side], source) if side in found else domain for side, domain in saved.items()}
    if "A" in fitted and "B" in fitted and "B" not in found and fitted["A"] != saved["A"]:
        target = saved["B"]
        if target.is_whole() and target.format.dtype == saved["A"].format.dtype:
            fitted["B"] = target.convert(fitted["A"].format.dtype, source)
    return fitted
