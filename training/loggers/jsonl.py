"""``losses.jsonl``: one JSON object per line, for plots and programs.

Keys: ``epoch iters step total_iters time data lr losses``. A loss that is not finite is ``null`` in ``losses`` and
spelt out in a further key, ``"nonfinite": {"G_L1": "nan"}`` (or "inf", "-inf"), since JSON has no such numbers.
"""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

from training.loggers.base import Position, RunInfo, SilentLogger, Times
from training.loggers.text import keep_lines


class JsonLines(SilentLogger):
    """Append every loss report to ``<run_dir>/losses.jsonl``."""

    def start(self, info: RunInfo) -> None:
        """Drop what lies after the checkpoint resumed from."""
        self.path = info.run_dir / "losses.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if info.resumed:
            truncate_to(self.path, info.start)

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Append one object; it is on disk when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_record(position, losses, times), allow_nan=False) + "\n")


def _record(position: Position, losses: dict[str, float], times: Times) -> dict[str, Any]:
    numbers = {name: float(value) for name, value in losses.items()}
    record: dict[str, Any] = {**position._asdict(), "time": _finite(times.compute), "data": _finite(times.data)}
    record["lr"] = None if times.lr is None else _finite(times.lr)
    record["losses"] = {name: _finite(value) for name, value in numbers.items()}
    nonfinite = {name: str(value) for name, value in numbers.items() if not math.isfinite(value)}
    return {**record, "nonfinite": nonfinite} if nonfinite else record


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """Return the records of a ``losses.jsonl``; a torn last line is left out, a missing file is empty."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [record for line in lines if (record := _parse(line)) is not None]


def truncate_to(path: pathlib.Path, position: Position) -> None:
    """Drop the records of ``path`` later than ``position`` and whatever is no record."""

    def keep(line: str) -> bool:
        record = _parse(line)
        return record is not None and record["total_iters"] <= position.total_iters

    keep_lines(path, keep)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("total_iters"), int) else None
