"""Folders -> sorted lists of image files, pairs by name, and their audit."""

from __future__ import annotations

import collections
import hashlib
import os
import pathlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from data.common import CommonDataOptions
from data.readers import SUFFIXES, ImageInfo, read_info
from util.errors import BadFile, UserError

T = TypeVar("T")
_AUDITED = 20_000  # headers read when a data set is opened; beyond that, evenly spaced ones


def data_root(common: CommonDataOptions) -> pathlib.Path:
    """Return ``--dataroot``; UserError when it is not given or not there."""
    if common.dataroot is None:
        raise UserError("--dataroot is missing: give the folder of the images, such as --dataroot ./datasets/facades")
    root = pathlib.Path(common.dataroot).expanduser()
    if not root.exists():
        raise UserError(f"--dataroot {root}: no such folder{_nearby(root.parent)}")
    return root


def list_images(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return all image files below a folder, sorted; hidden files and folders are passed over.

    Links to folders are followed, but none that leads back to a folder it lies in.

    Raises:
        UserError: a folder may not be read.
    """
    return sorted(_images_below(folder, frozenset()))


def _images_below(folder: pathlib.Path, around: frozenset[str]) -> Iterator[pathlib.Path]:
    around = around | {os.path.realpath(folder)}
    for entry in _visible(folder):
        path = folder / entry.name
        if entry.is_dir():
            if not entry.is_symlink() or os.path.realpath(path) not in around:
                yield from _images_below(path, around)
        elif path.suffix.lower() in SUFFIXES and entry.is_file():
            yield path


def _visible(folder: pathlib.Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except PermissionError:
        raise UserError(f"{folder}: its files cannot be listed; make the folder readable, or move it away") from None


def images_in(folder: pathlib.Path, expected: str) -> list[pathlib.Path]:
    """Return :func:`list_images`, or a UserError that says what was expected and what lies nearby."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected {expected}{_nearby(folder.parent)}")
    files = list_images(folder)
    if not files:
        raise UserError(f"{folder}: no images in it; expected {expected}{_nearby(folder)}")
    return files


def _nearby(folder: pathlib.Path) -> str:
    if not folder.is_dir():
        return ""
    names = sorted(p.name + "/" * p.is_dir() for p in folder.iterdir() if not p.name.startswith("."))
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"; {folder} holds {shown or 'nothing'}"


def relative_stem(path: pathlib.Path, folder: pathlib.Path) -> str:
    """Return ``sub/dir/name`` of a file below a folder: the name pairs and outputs go by.

    Composed (NFC), because some systems write an accent as a character of its own and others do not.
    """
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def output_names(files: Sequence[pathlib.Path], folder: pathlib.Path) -> list[str]:
    """Return one distinct name per file; where only the suffix tells files apart it becomes part of the name."""
    stems = [relative_stem(path, folder) for path in files]
    counts, pairs = collections.Counter(stems), zip(stems, files, strict=True)
    return distinct(stem if counts[stem] == 1 else f"{stem}_{path.suffix[1:]}" for stem, path in pairs)


def distinct(names: Iterable[str]) -> list[str]:
    """Return the names with ``_2``, ``_3`` and so on behind those that came before."""
    names = list(names)
    taken, result = set(names), []
    seen: set[str] = set()
    for name in names:
        free, number = name, 1
        while free in seen or (number > 1 and free in taken):
            number += 1
            free = f"{name}_{number}"
        seen.add(free)
        result.append(free)
    return result


def by_stem(files: Sequence[pathlib.Path], folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return files by relative stem; UserError when two share one."""
    found: dict[str, pathlib.Path] = {}
    for path in files:
        other = found.setdefault(relative_stem(path, folder), path)
        if other is not path:
            raise UserError(f"{path}: {other.name} beside it has the same name; keep one of them")
    return found


def split_names(names: Sequence[str], fraction: float, seed: int, phase: str) -> list[str]:
    """Return the names of one phase of a seeded split: ``train``, or the held-out ones for any other.

    Which side a name falls on depends on it and the seed alone, so new files move no old ones, but that of two or
    more names at least one is held out and one is not.
    """
    ranked = sorted(names, key=lambda name: _place(name, seed))
    held_out = {name for name in ranked[:-1] if _place(name, seed) <= fraction} | set(ranked[:1])
    return [name for name in names if (name in held_out) != (phase == "train")]


def _place(name: str, seed: int) -> float:
    """Return a well-mixed number in [0, 1) for one name."""
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=6).digest(), "big") / 2**48


def read_infos(files: Sequence[pathlib.Path], *, strict: bool = True) -> dict[pathlib.Path, ImageInfo]:
    """Read headers in parallel; of very many files, evenly spaced ones.

    Args:
        strict: whether one unreadable file is a UserError; otherwise such files are left out unless all are.
    """
    step = -(-len(files) // _AUDITED) or 1
    chosen = files[::step]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(_info_or_error, chosen, chunksize=64))
    infos = {path: info for path, info in zip(chosen, found, strict=True) if isinstance(info, ImageInfo)}
    errors = [error for error in found if isinstance(error, UserError)]
    if errors and (strict or not infos):
        raise errors[0]
    return infos


def _info_or_error(path: pathlib.Path) -> ImageInfo | UserError:
    try:
        return read_info(path)
    except UserError as error:
        return error


def readable(reads: Iterable[Callable[[], T]], *, skip: bool) -> Iterator[T]:
    """Yield what the calls return; with ``skip`` without those whose file cannot be read."""
    for read in reads:
        try:
            yield read()
        except BadFile:
            if not skip:
                raise


def one_dtype(infos: dict[pathlib.Path, ImageInfo]) -> str:
    """Return the dtype of all files; UserError naming two files that differ."""
    first, expected = next(iter(infos.items()))
    for path, info in infos.items():
        if info.dtype != expected.dtype:
            raise UserError(f"{path}: {info.dtype}, but {first} is {expected.dtype}; store one side in one depth")
    return expected.dtype
