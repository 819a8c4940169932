"""Text files that are either the old or the new version, never half of one."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable


def write_text(path: pathlib.Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one move, creating its folder."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one move, creating its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def keep_lines(path: pathlib.Path, keep: Callable[[str], bool]) -> None:
    """Rewrite ``path`` with the complete lines that ``keep`` accepts; a missing file stays missing."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    write_text(path, "".join(line for line in lines if line.endswith("\n") and keep(line)))
