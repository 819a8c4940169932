"""Measured tables in docs/performance.md, each between its own markers."""

from __future__ import annotations

import os
import pathlib
import platform
from collections.abc import Sequence

import torch

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Return the processor, how many of its cores this process may use, and the versions that matter, in one line."""
    names = [line.partition(":")[2].strip() for line in _processor_facts() if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {cores} cores, Python {platform.python_version()}, torch {torch.__version__}"


def _processor_facts() -> list[str]:
    path = pathlib.Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def publish(name: str, section: str, *, write: bool, page: pathlib.Path = PAGE) -> None:
    """Print what was measured, and with ``write`` put it between the markers of its name on a page."""
    print(section, flush=True)
    if write:
        page.write_text(replace_section(page.read_text(encoding="utf-8"), name, section), encoding="utf-8")


def replace_section(text: str, name: str, section: str) -> str:
    """Return a page with a section's content exchanged; ValueError when its two markers are not there."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no section between {begin} and {end}")
    return f"{before}{begin}\n{section}\n{end}{after}"
