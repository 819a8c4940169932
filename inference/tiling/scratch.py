"""Tensors too large for memory, in temporary files.

Read and written by position: pages of a memory-mapped file would count as memory of the program.
"""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any, BinaryIO

import numpy as np

from inference.tiling.boxes import Box


class Scratch:
    """An array of height x width x channels, in memory or in a file that vanishes with it.

    Args:
        folder: of the file; None keeps the array in memory.
    """

    def __init__(self, height: int, width: int, channels: int, dtype: str, folder: pathlib.Path | None) -> None:
        self.height, self.width, self.channels, self.dtype = height, width, channels, np.dtype(dtype)
        self._array = np.zeros((height, width, channels), self.dtype) if folder is None else None
        self._file: BinaryIO | None = None if folder is None else _temporary(folder)
        self._pixel = channels * self.dtype.itemsize

    def read(self, box: Box) -> np.ndarray:
        """Return a copy of the values within a box, height x width x channels."""
        if self._array is not None:
            return self._array[box.top : box.bottom, box.left : box.right].copy()
        values = np.empty((box.height, box.width, self.channels), self.dtype)
        if box.width == self.width:
            self._fetch(box.top, 0, values)
        else:
            for row in range(box.height):
                self._fetch(box.top + row, box.left, values[row])
        return values

    def write(self, box: Box, values: np.ndarray) -> None:
        """Store height x width x channels values at a box."""
        if self._array is not None:
            self._array[box.top : box.bottom, box.left : box.right] = values
            return
        values = np.ascontiguousarray(values, self.dtype)
        if box.width == self.width:
            self._store(box.top, 0, values)
        else:
            for row in range(box.height):
                self._store(box.top + row, box.left, values[row])

    def close(self) -> None:
        """Give the memory or the disk space back."""
        self._array = None
        if self._file is not None:
            self._file.close()

    def _fetch(self, row: int, column: int, values: np.ndarray) -> None:
        assert self._file is not None
        self._file.seek((row * self.width + column) * self._pixel)
        view, done = memoryview(values.data).cast("B"), 0
        while done < len(view):
            count = self._file.readinto(view[done:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError("a part of the scratch file is read before it is written")
            done += count

    def _store(self, row: int, column: int, values: np.ndarray) -> None:
        assert self._file is not None
        self._file.seek((row * self.width + column) * self._pixel)
        view = memoryview(values.data).cast("B")
        while view:
            view = view[self._file.write(view) :]


def _temporary(folder: pathlib.Path) -> Any:
    """Return an open file without a name: it goes with the program, also when that is killed."""
    return tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - it lives as long as the array
