"""How much a cache folder may hold, kept true by all processes that write to it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterator

import filelock
from torch.utils.data import get_worker_info

from util.files import atomic_file

_FREE_SHARE, _FREE_BYTES = 0.05, 5e9  # of the disk, the smaller of the two is left to others
_PAUSE = 60.0  # seconds before a full cache is looked through again
_ABANDONED = 3600.0  # seconds after which an unfinished file is the rest of a crash
_LEDGER, _LOCK = "used_bytes", ".lock"


class Room:
    """Room for new entries below a limit, made by removing the least recently used ones.

    Entries used since this object was made are never removed for its sake: a data set that is larger than the cache is
    kept in part, rather than all of it being replaced in every epoch.
    """

    def __init__(self, folder: pathlib.Path, limit: float) -> None:
        self.folder, self.limit, self.began = folder, limit, time.time()
        self._closed_until = 0.0
        self._told = False

    @contextlib.contextmanager
    def claim(self, size: int) -> Iterator[bool]:
        """Say whether ``size`` bytes more fit; no other process writes before the block that writes them ends."""
        if time.monotonic() < self._closed_until:
            yield False
            return
        with filelock.FileLock(self.folder / _LOCK, timeout=10):
            used = self.used()
            if used + size > self.limit:
                used = self._shrink(size)
            full = "is full; images beyond --cache_limit are decoded each time" if used + size > self.limit else ""
            full = full or self._disk_is_full(size)
            yield not full
            write_ledger(self.folder, used + size * (not full))
        if full:
            self.close(full, _PAUSE)

    def close(self, reason: str, seconds: float = float("inf")) -> None:
        """Refuse new entries for some time, and say why, once."""
        self._closed_until = time.monotonic() + seconds
        worker = get_worker_info()
        if not self._told and (worker is None or worker.id == 0):
            print(f"note: the cache {self.folder} {reason}", file=sys.stderr)
        self._told = True

    def used(self) -> int:
        """Return the bytes of all entries, as last noted."""
        try:
            return int((self.folder / _LEDGER).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return sum(size for _, size, _ in entries(self.folder))

    def _shrink(self, size: int) -> int:
        """Remove old entries until ``size`` more bytes fit; return the bytes in use, counted anew."""
        found = sorted(entries(self.folder))
        used = sum(length for _, length, _ in found)
        for last_use, length, path in found:
            if used + size <= self.limit or last_use >= self.began:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                used -= length
        return used

    def _disk_is_full(self, size: int) -> str:
        """Return why the disk takes no ``size`` bytes more; empty where it does."""
        disk = shutil.disk_usage(self.folder)
        if disk.free - size > min(_FREE_SHARE * disk.total, _FREE_BYTES):
            return ""
        return f"takes no more: its disk has only {disk.free / 1e9:.1f} GB left; images are decoded each time"


def entries(folder: pathlib.Path) -> Iterator[tuple[float, int, str]]:
    """Yield time of the last use, bytes and path of every entry; what crashes left unfinished is removed."""
    for part in os.scandir(folder):
        for file in os.scandir(part.path) if part.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # another run removes entries too
                facts = file.stat()
                if file.name.endswith(".tmp") and time.time() - facts.st_mtime > _ABANDONED:
                    os.unlink(file.path)
                else:
                    yield facts.st_mtime, facts.st_size, file.path


def write_ledger(folder: pathlib.Path, used: int) -> None:
    """Note the bytes in use; a crash that loses the note costs one count of the folder."""
    with atomic_file(folder / _LEDGER, durable=False) as file:
        file.write(str(used).encode("ascii"))
