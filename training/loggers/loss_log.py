"""``loss_log.txt``: the established text file of losses."""

from __future__ import annotations

import pathlib
import time

from training.loggers.base import Position, RunInfo, SilentLogger, Times
from training.loggers.text import keep_lines, loss_line, position_of


class LossLog(SilentLogger):
    """Append a header at every start and a line at every ``--print_freq`` to ``<run_dir>/loss_log.txt``."""

    def start(self, info: RunInfo) -> None:
        """Drop what lies after the checkpoint resumed from, then write the header."""
        self.path = info.run_dir / "loss_log.txt"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if info.resumed:
            truncate_to(self.path, info.start)
        self._append(f"================ Training Loss ({time.strftime('%c')}) ================")

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Append one line; it is on disk when this returns."""
        self._append(loss_line(position, losses, times))

    def _append(self, line: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def truncate_to(path: pathlib.Path, position: Position) -> None:
    """Drop the lines of ``path`` later than ``position``; headers stay, a torn last line goes."""

    def keep(line: str) -> bool:
        found = position_of(line)
        return line.startswith("=") if found is None else found <= (position.epoch, position.iters)

    keep_lines(path, keep)
