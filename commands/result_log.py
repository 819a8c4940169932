"""What an interrupted test has finished: one line an image, so that it can be taken up where it stopped."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from training.loggers.text import keep_lines
from util.errors import UserError

LOG_FILE = "rows.jsonl"


@dataclass(frozen=True)
class Finished:
    """One image: its files by label, below the folder of results, its metrics, and those of simpler ways by name."""

    name: str
    files: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    beside: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@contextlib.contextmanager
def written(folder: pathlib.Path, fix: str) -> Iterator[None]:
    """Let a folder that takes no more files be one line, which ends with what to do about it."""
    try:
        yield
    except ConnectionError:  # of what is printed, or of another process
        raise
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror or error}); {fix}") from None


class ResultLog:
    """``rows.jsonl`` in a folder of results, and ``rows.1.jsonl`` and so on of further processes.

    Args:
        resume: whether images in them count as finished; otherwise all begin anew.
        rank: number of this process.
        count: of processes.
    """

    def __init__(self, folder: pathlib.Path, *, resume: bool, rank: int = 0, count: int = 1) -> None:
        self.folder, self.path = folder, folder / (f"rows.{rank}.jsonl" if rank else LOG_FILE)
        if resume:
            keep_lines(self.path, lambda line: _parse(line) is not None)  # or the next would join what a kill cut short
        elif rank == 0:
            _remove_of_more(folder, count)
        logs = sorted(folder.glob("rows*.jsonl")) if resume else []
        self._known = {name: row for path in logs for name, row in _read(path).items()}
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a" if resume else "w", encoding="utf-8")

    def finished(self, name: str) -> Finished | None:
        """Return an image of an earlier test whose files are all there."""
        row = self._known.get(name)
        complete = row is not None and all((self.folder / path).is_file() for path in row.files.values())
        return row if complete else None

    def add(self, row: Finished) -> None:
        """Write down an image whose files are written; on disk within the second where the machine goes on."""
        self._file.write(json.dumps(asdict(row)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _remove_of_more(folder: pathlib.Path, count: int) -> None:
    """Remove the logs of an earlier test by more than ``count`` processes."""
    now = {LOG_FILE, *(f"rows.{rank}.jsonl" for rank in range(1, count))}
    for path in folder.glob("rows*.jsonl"):
        if path.name not in now:
            path.unlink()


def _read(path: pathlib.Path) -> dict[str, Finished]:
    rows: dict[str, Finished] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if (row := _parse(line)) is not None:
                rows[row.name] = row
    return rows


def _parse(line: str) -> Finished | None:
    """Return one row; None for a line that a kill cut short."""
    try:
        values: dict[str, Any] = json.loads(line)
        return Finished(**values)
    except (ValueError, TypeError):
        return None
