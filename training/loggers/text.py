"""The established line of text about one moment of the training, and files of such lines."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Mapping

from training.loggers.base import Position, Times
from util.files import write_text

_LINE = re.compile(r"\(epoch: (\d+), iters: (\d+),[^)]*\)")


def loss_line(position: Position, losses: Mapping[str, float], times: Times) -> str:
    """Return ``(epoch: 1, iters: 100, time: 0.100, data: 0.010) G_GAN: 0.123 G_L1: 0.456``."""
    head = f"(epoch: {position.epoch}, iters: {position.iters}, time: {times.compute:.3f}, data: {times.data:.3f})"
    return " ".join([head, *(f"{name}: {value:.3f}" for name, value in losses.items())])


def position_of(line: str) -> tuple[int, int] | None:
    """Return (epoch, iters) of such a line, or None for any other text."""
    match = _LINE.match(line)
    return (int(match[1]), int(match[2])) if match else None


def duration(seconds: float) -> str:
    """Return seconds for people: ``42 s``, ``5 min 10 s``, ``3 h 20 min``, ``12 days 4 h``."""
    seconds = round(max(0.0, seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    days = seconds // 86400
    return f"{days} day{'s' if days > 1 else ''} {seconds % 86400 // 3600} h"


def keep_lines(path: pathlib.Path, keep: Callable[[str], bool]) -> None:
    """Rewrite ``path`` with the complete lines that ``keep`` accepts; a missing file stays missing."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    write_text(path, "".join(line for line in lines if line.endswith("\n") and keep(line)))
