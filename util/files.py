"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import BinaryIO

_TEMPORARY = ".tmp"


@contextlib.contextmanager
def atomic_file(path: pathlib.Path, *, durable: bool = True, make_folder: bool = True) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of ``path`` when the block ends without an error.

    The data and the folder entry are on disk before the context returns; after an error ``path`` is as before.
    Waiting for the disk can take a tenth of a second, so files made by the thousand, which can be made again, are
    written without ``durable``: whole after a crash of the program, maybe not after one of the machine. What belongs to
    a training is written without ``make_folder``, so that a folder which vanishes meanwhile is not made anew.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    # of the name so much that 255 bytes suffice in any script
    temporary = path.with_name(f".{secrets.token_hex(4)}.{path.name[-50:]}{_TEMPORARY}")
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)  # less the user's umask
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        sync_folder(path.parent)


def write_text(path: pathlib.Path, text: str, *, make_folder: bool = True) -> None:
    """Write a UTF-8 text file atomically; names of files that are no UTF-8 go in as they are."""
    with atomic_file(path, make_folder=make_folder) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def remove_leftovers(folder: pathlib.Path) -> None:
    """Delete what :func:`atomic_file` was writing in ``folder`` when its process was killed."""
    for path in folder.glob(f".????????.*{_TEMPORARY}"):
        with contextlib.suppress(OSError):
            path.unlink()


def sync_folder(folder: pathlib.Path) -> None:
    """Wait until the names of the files in ``folder`` are on disk."""
    with contextlib.suppress(OSError):  # not every system can open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
