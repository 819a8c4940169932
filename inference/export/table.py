"""The result of an export as a table to read and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from inference.export.measure import Times
from util.files import write_text

_HEAD = ("format", "dtype", "file", "MB", "max error", "PSNR dB", "ms", "CPU ms", "speed")


@dataclasses.dataclass(frozen=True)
class Row:
    """One file, or the run itself.

    Args:
        file: its name.
        megabytes: its size, in millions of bytes.
        max_error: largest difference from the run in fp32, of values in 0..1; None for the run itself.
        psnr: against the run in fp32, in dB; infinite where nothing differs.
        ms: median milliseconds an image; None where the format does not compute.
        processor_ms: the processors' time among them, of all threads together.
        speedup: the run's milliseconds over these.
    """

    format: str
    dtype: str
    file: str
    megabytes: float
    max_error: float | None = None
    psnr: float | None = None
    ms: float | None = None
    processor_ms: float | None = None
    speedup: float | None = None

    def timed(self, times: Times, reference: Times) -> Row:
        """Return the row with its times, and its speed relative to the run's."""
        return dataclasses.replace(
            self, ms=times.wall, processor_ms=times.processor, speedup=reference.wall / times.wall
        )

    def cells(self) -> tuple[str, ...]:
        """Return the row as text, one cell a column."""
        error = "" if self.max_error is None else f"{self.max_error:.1e}"
        numbers = (
            _number(self.psnr, "{:.1f}"),
            _number(self.ms, "{:.0f}"),
            _number(self.processor_ms, "{:.0f}"),
            _number(self.speedup, "{:.2f}x"),
        )
        return (self.format, self.dtype, self.file, f"{self.megabytes:.1f}", error, *numbers)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def format_table(rows: Sequence[Row], notes: Sequence[str]) -> str:
    """Return an aligned table and the notes below it; Markdown, so that it can be pasted."""
    cells = [_HEAD, *(row.cells() for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    lines = ["| " + " | ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join([*lines, *notes])


def write_report(path: pathlib.Path, rows: Sequence[Row], facts: Mapping[str, Any]) -> None:
    """Write rows and facts as JSON; an infinite PSNR becomes null beside ``"identical": true``."""
    write_text(path, json.dumps({**facts, "files": [_plain(row) for row in rows]}, indent=1) + "\n")


def _plain(row: Row) -> dict[str, Any]:
    values = dataclasses.asdict(row)
    finite = {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}
    return finite | {"identical": row.max_error == 0}
