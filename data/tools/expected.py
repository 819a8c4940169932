"""What a submission must hold, read from a sample or a list of names, and how one that does not fit is described."""

from __future__ import annotations

import csv
import pathlib
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from data.listing import images_in, read_infos, relative_stem
from data.readers import SUFFIXES, ImageInfo
from util.errors import UserError

Sample = ImageInfo


@dataclass(frozen=True)
class Expected:
    """Names of files by their name without suffix, and of the images of a sample how they are stored."""

    names: Mapping[str, str]
    samples: Mapping[str, Sample] = field(default_factory=dict)


class Problems:
    """What does not fit, by kind."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}

    def note(self, kind: str, names: Sequence[str]) -> None:
        """Remember files with a problem."""
        if names:
            self.found.setdefault(kind, []).extend(names)

    def check(self, name: str, image: np.ndarray, sample: Sample | None) -> None:
        """Compare an image (H,W,C) as it would be sent with that of the sample submission."""
        if sample is None:
            return
        height, width, channels = image.shape
        if (height, width) != (sample.height, sample.width):
            wanted = f"{sample.width}x{sample.height} (--size sample)"
            self.note(f"wrong size, {width}x{height} in place of {wanted}", [name])
        if image.dtype.name != sample.dtype:
            self.note(f"wrong depth, {image.dtype.name} in place of {sample.dtype} (--bit_depth)", [name])
        if channels != sample.channels:
            self.note(f"wrong number of channels, {channels} in place of {sample.channels}", [name])

    def lines(self, count: int, totals: Mapping[str, int]) -> list[str]:
        """Return one line for each kind of problem; ``totals`` has kinds that are not of ``count`` images."""
        return [
            f"{kind}: {len(names)} of {totals.get(kind, count)} images, first {names[0]}"
            for kind, names in self.found.items()
        ]


def read_expected(text: str) -> Expected:
    """Return what ``--expected`` asks for; UserError where it holds no names."""
    path = pathlib.Path(text).expanduser()
    if path.is_dir():
        return _of_samples(path)
    if not path.is_file():
        raise UserError(f"--expected {text}: no such folder or file")
    if zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory() as folder:
            _unpack(path, pathlib.Path(folder))
            return _of_samples(pathlib.Path(folder))
    names = list(_listed(path))
    if not names:
        raise UserError(f"--expected {text}: no names in it; write one a line")
    return Expected({_stem(name): name for name in names})


def _of_samples(folder: pathlib.Path) -> Expected:
    files = images_in(folder, "a sample submission")
    infos = read_infos(files)
    stems = {path: relative_stem(path, folder) for path in files}
    names = {stem: path.relative_to(folder).as_posix() for path, stem in stems.items()}
    return Expected(names, {stem: infos[path] for path, stem in stems.items()})


def _unpack(path: pathlib.Path, folder: pathlib.Path) -> None:
    """Take the images out of a zip; zipfile itself keeps names from leading elsewhere."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.lower().endswith(SUFFIXES):
                archive.extract(name, folder)


def _listed(path: pathlib.Path) -> Iterator[str]:
    """Yield the first column of a CSV file without its title, or the lines of any other file."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except ValueError:
        raise UserError(f"--expected {path}: neither images, nor a zip, nor text") from None
    if path.suffix.lower() == ".csv":
        lines = [row[0] for row in list(csv.reader(lines))[1:] if row]
    yield from (line.strip() for line in lines if line.strip())


def _stem(name: str) -> str:
    return name[: -len(suffix)] if (suffix := pathlib.PurePosixPath(name).suffix).lower() in SUFFIXES else name
