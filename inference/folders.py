"""Many files through one model: one at a time, so that the memory does not grow; a failure stops only its own file."""

from __future__ import annotations

import contextlib
import functools
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from data.listing import images_in, output_names
from data.readers import read_info
from data.writers import FileFormat
from inference.translator import Translator
from inference.video import VIDEO_SUFFIXES, translate_video
from util.errors import UserError

_DTYPES = ("uint8", "uint16", "float32")  # that images are read as
_FLOATS = (".tif", ".tiff", ".npy", ".npz")  # files that may hold any of them, others whole numbers
_WRITTEN = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp", ".npy")


class Item(NamedTuple):
    """One file to translate: what to read, and where its result goes.

    ``named`` says whether the user gave the result its suffix; else one is put behind the target.
    """

    source: pathlib.Path
    target: pathlib.Path
    named: bool = False


Work = Sequence[Item]


@dataclass
class Outcome:
    """What has become of the files so far: ``failures`` holds one line each."""

    done: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    @classmethod
    def together(cls, outcomes: Iterable[Outcome]) -> Outcome:
        """Return what several processes have done."""
        total = cls()
        for each in outcomes:
            total.done += each.done
            total.skipped += each.skipped
            total.failures += each.failures
        return total


def list_work(source: pathlib.Path, target: pathlib.Path) -> Work:
    """Return what there is to do for a file or a folder; results inside that folder are no images to translate.

    Raises:
        UserError: there is nothing to read, or the target does not suit.
    """
    if source.is_dir():
        if target.suffix.lower() in _WRITTEN or target.is_file():
            raise UserError(f"--output {target}: --input {source} is a folder, so this must be one too")
        files = _sources(source, target)
        names = output_names(files, source)
        return [Item(path, target / name) for path, name in zip(files, names, strict=True)]
    if not source.is_file():
        raise UserError(f"--input {source}: no such file or folder")
    if target.is_dir() or not target.suffix:
        return [Item(source, target / source.stem)]
    endings = VIDEO_SUFFIXES if source.suffix.lower() in VIDEO_SUFFIXES else _WRITTEN
    if target.suffix.lower() not in endings:
        raise UserError(f"--output {target}: cannot write {target.suffix}; use one of {', '.join(endings)}")
    return [Item(source, target, named=True)]


def _sources(source: pathlib.Path, target: pathlib.Path) -> list[pathlib.Path]:
    """Return the images of a folder without the results in it, which an earlier call has left."""
    files, folder, results = images_in(source, "the images to translate"), source.resolve(), target.resolve()
    if results == folder:
        raise UserError(f"--output {target}: results among the images would be translated next time; name another one")
    if not results.is_relative_to(folder):
        return files
    results = source / results.relative_to(folder)
    kept = [path for path in files if not path.is_relative_to(results)]
    if not kept:
        raise UserError(f"--input {source}: all images in it lie in --output {target}; name another one")
    return kept


def translate_files(
    translator: Translator, work: Work, *, skip_existing: bool = False, stop: bool = False
) -> Iterator[Outcome]:
    """Translate file by file and yield the outcome so far after each; a file that fails is named and passed over.

    Args:
        skip_existing: leave out files whose result is there already, as after an interruption.
        stop: at the first file that fails.

    Raises:
        UserError: naming that file.
    """
    outcome, known = Outcome(), functools.cache(functools.partial(_only_suffix, translator))
    for source, target, named in work:
        try:
            if not named:
                ending = known(source.suffix.lower()) if skip_existing else ""
                there = ending and _appended(target, ending).is_file()
                target = _appended(target, ending) if there else _with_suffix(translator, source, target)
            if skip_existing and target.is_file():
                outcome.skipped += 1
            else:
                _translate(translator, source, target)
                outcome.done += 1
        except OSError as error:  # of reading it is a UserError
            outcome.failures.append(f"{source}: nothing can be written to {target.parent} ({error.strerror or error})")
        except (UserError, MemoryError) as error:
            reason = str(error) or "out of memory"
            outcome.failures.append(reason if str(source) in reason else f"{source}: {reason}")
        if stop and outcome.failures:
            raise UserError(outcome.failures[0])
        yield outcome


def _translate(translator: Translator, source: pathlib.Path, target: pathlib.Path) -> None:
    if target.resolve() == source.resolve():
        raise UserError(f"{source}: would be overwritten by its own translation; choose another --output")
    if source.suffix.lower() in VIDEO_SUFFIXES:
        translate_video(translator, source, target)
    else:
        translator.file(source, target)


def _only_suffix(translator: Translator, source: str) -> str:
    """Return the suffix of the results of all files of this suffix; empty where their headers have to be read."""
    found = set()
    for dtype in _DTYPES if source in _FLOATS else _DTYPES[:2]:
        with contextlib.suppress(UserError):  # the run takes no such files
            found.add(_suffix(translator, dtype, source))
    return found.pop() if len(found) == 1 and source not in VIDEO_SUFFIXES else ""


def _suffix(translator: Translator, dtype: str, source: str) -> str:
    _, domain = translator.domains_of(dtype, source)
    return FileFormat(domain.format.dtype, translator.channels[1]).suffix


def _appended(target: pathlib.Path, suffix: str) -> pathlib.Path:
    return target.with_name(target.name + suffix)


def _with_suffix(translator: Translator, source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Return the target under the suffix of a format that holds the result without loss."""
    if source.suffix.lower() in VIDEO_SUFFIXES:
        return _appended(target, ".mp4")
    return _appended(target, _suffix(translator, read_info(source).dtype, str(source)))
