"""Prepared images on disk, ready to be mapped into memory; several runs may use one folder at the same time."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from data.cache_room import Room
from data.common import CommonDataOptions
from util.errors import UserError
from util.files import atomic_file

_OPEN = 128  # entries that one process keeps mapped
_FRESH = 600.0  # seconds after which the use of an entry is noted again
_NOTE = "a2b"


@dataclass(frozen=True)
class Entry:
    """One prepared image: plain facts, and tensors to be sliced, of which only what is cut out is read."""

    facts: dict[str, Any]
    slices: Mapping[str, Any]


class ImageCache:
    """A folder of entries by key; one file each, whole or not there, checked when a process first opens it.

    Args:
        folder: made when the first entry is written.
        limit: bytes; to stay below it, entries that were used least recently are removed.
    """

    def __init__(self, folder: pathlib.Path, limit: float) -> None:
        self.folder, self.room = folder, Room(folder, limit)
        self._open: dict[str, tuple[float, Entry]] = {}
        self._checked: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}  # mapped files do not travel to other processes

    def get(self, key: str) -> Entry | None:
        """Return an entry, or None when it is not there or was damaged and is now removed."""
        opened, entry = self._open.pop(key, (0.0, None))
        if entry is None or time.monotonic() - opened > _FRESH:
            opened, entry = time.monotonic(), self.read(key)
        if entry is not None:
            self._open[key] = opened, entry
            if len(self._open) > _OPEN:
                del self._open[next(iter(self._open))]
        return entry

    def read(self, key: str) -> Entry | None:
        """As :meth:`get`, without keeping the file mapped."""
        path = self._path(key)
        with contextlib.suppress(OSError):  # of a folder of somebody else's, for one
            os.utime(path)  # the order of removal follows from this
        try:
            return self._load(path, key)
        except OSError:  # not there, or not to be read now
            return None
        except (ValueError, KeyError, safetensors.SafetensorError):
            with contextlib.suppress(OSError):
                path.unlink()
            return None

    def _load(self, path: pathlib.Path, key: str) -> Entry:
        with safetensors.safe_open(path, framework="pt") as file:
            noted, names = json.loads((file.metadata() or {})[_NOTE]), list(file.keys())
            if key not in self._checked:
                if noted["crc32"] != checksum({name: file.get_tensor(name) for name in names}):
                    raise ValueError("damaged")
                self._checked.add(key)
            return Entry(noted["facts"], {name: file.get_slice(name) for name in names})

    def put(self, key: str, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Keep an entry if there is room for it; a disk that refuses is left alone from then on."""
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        note = json.dumps({"facts": dict(facts), "crc32": checksum(tensors)})
        content = safetensors.torch.save(tensors, {_NOTE: note})
        try:
            with self.room.claim(len(content)) as fits:
                if fits:
                    write(self._path(key), content)
        except OSError as error:
            self.room.close(f"cannot be written ({error.strerror or error})")

    def _path(self, key: str) -> pathlib.Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def write(path: pathlib.Path, content: bytes) -> None:
    """Write a file that is whole or not there."""
    with atomic_file(path, durable=False) as file:
        file.write(content)


def checksum(tensors: Mapping[str, Tensor]) -> int:
    """Return one number for the values of some contiguous tensors."""
    found = 0
    for name in sorted(tensors):
        found = zlib.crc32(tensors[name].numpy().data, found)
    return found


def open_cache(options: CommonDataOptions) -> ImageCache | None:
    """Return the cache of ``--cache``; None for off, and for auto where nothing can be written.

    UserError when a folder named there cannot be made.
    """
    if options.cache == "off":
        return None
    auto = options.cache == "auto"
    try:
        folder = default_folder() if auto else pathlib.Path(options.cache).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        if auto:
            return None
        raise UserError(f"--cache {options.cache}: cannot be made ({error}); name another folder") from None
    return ImageCache(folder, options.cache_limit * 1e9)


def default_folder() -> pathlib.Path:
    """Return the folder of ``--cache auto``: A2B_CACHE, or one in the user's folder for what can be made again."""
    chosen, shared = os.environ.get("A2B_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return pathlib.Path(chosen).absolute()
    return (pathlib.Path(shared) if shared else pathlib.Path.home() / ".cache") / "a2b" / "images"
