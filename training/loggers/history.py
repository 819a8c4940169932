"""The losses written so far, for those who draw them."""

from __future__ import annotations

import json
import pathlib
from typing import Any


class LossHistory:
    """All losses of a ``losses.jsonl``, read as the file grows: name -> (total images, values)."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.values: dict[str, tuple[list[int], list[float]]] = {}
        self._offset = 0

    def update(self) -> None:
        """Read the complete lines that were added since the last call."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            self._add(json.loads(line))

    def _add(self, record: dict[str, Any]) -> None:
        for name, value in record["losses"].items():
            steps, values = self.values.setdefault(name, ([], []))
            steps.append(record["total_iters"])
            values.append(float("nan") if value is None else value)
