"""``prepare.py submission``: results of a run -> a zip in the wanted size, depth, format and names, checked first.

--results is a results folder of test.py, of which the images of --label are taken, or a folder of images. --expected
tells the names: a sample submission (folder or zip), whose images tell size, depth and channels too, or a text or CSV
file with one name a line. Whatever does not fit is one line for each kind of problem, and nothing is written. The same
results give the same zip, byte by byte.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from data.listing import by_stem, images_in, relative_stem
from data.readers import read_image
from data.tools.expected import Expected, Problems, Sample, read_expected
from data.tools.folders import existing_folder
from data.value_range import as_dtype
from data.writers import write_image
from util.errors import UserError
from util.files import atomic_file

_DTYPES = {8: "uint8", 16: "uint16", 32: "float32"}
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_MODE = 0o644 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--results", required=True, help="folder such as results/NAME/test_latest, or of images")
    parser.add_argument("--label", default="fake_B", help="which images of a results folder (%(default)s)")
    parser.add_argument("--expected", help="sample submission (folder or .zip), or names in a .txt or .csv file")
    parser.add_argument("--size", help="WIDTHxHEIGHT to resize to, such as 48x72; sample: as the sample submission's")
    parser.add_argument("--bit_depth", type=int, choices=list(_DTYPES), help="bits of a value; 32 are floats")
    parser.add_argument("--factor", type=float, help="multiply values by this, such as 0.01 (full range to full range)")
    parser.add_argument("--format", choices=["png", "tif", "npy"], help="of the files (that of the expected names)")
    parser.add_argument("--out", default="submission.zip", help="file to write (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Convert, check and write; UserError where anything does not fit, or for bad values."""
    folder = existing_folder("--results", args.results)
    if pathlib.Path(args.out).suffix.lower() != ".zip":
        raise UserError(f"--out {args.out}: submissions are zip files; name one that ends with .zip")
    expected = read_expected(args.expected) if args.expected else None
    if args.size == "sample" and not (expected and expected.samples):
        raise UserError("--size sample: --expected names no images to take it from; give WIDTHxHEIGHT, such as 48x72")
    files = find_results(folder, args.label)
    problems = Problems()
    names = _match(files, expected, problems, f".{args.format or 'png'}" if not expected or args.format else None)
    contents: dict[str, bytes] = {}
    for stem, name in names.items():
        sample = expected.samples.get(stem) if expected else None
        image = read_image(files[stem])
        converted = convert(image, _size(args.size, sample, image), args.bit_depth, args.factor, name, problems)
        problems.check(name, converted, sample)
        if not problems.found:
            contents[name] = encode(converted, name)
    totals = {"missing": len(expected.names) if expected else 0, "surplus": len(files)}
    for line in problems.lines(len(names), totals):
        print(line, file=sys.stderr)
    if problems.found:
        raise UserError(f"--results {folder}: {len(problems.found)} kind(s) of problems, so {args.out} is not written")
    write_zip(pathlib.Path(args.out), contents)
    print(f"{args.out}: {len(contents)} images")


def find_results(folder: pathlib.Path, label: str) -> dict[str, pathlib.Path]:
    """Return by name the images of one label of a results folder of test.py, or all of any other folder."""
    inner = folder / "images"
    if not inner.is_dir():
        return by_stem(images_in(folder, "results"), folder)
    ending = f"_{label}"
    found = {relative_stem(path, inner): path for path in images_in(inner, "results of test.py")}
    chosen = {stem.removesuffix(ending): path for stem, path in found.items() if stem.endswith(ending)}
    if not chosen:
        raise UserError(f"--label {label}: no such images in {inner}")
    return chosen


def _match(
    files: Mapping[str, pathlib.Path], expected: Expected | None, problems: Problems, suffix: str | None
) -> dict[str, str]:
    """Return for each result that is wanted the name that it gets in the zip."""
    wanted = expected.names if expected else {stem: stem for stem in files}
    problems.note("missing", [name for stem, name in wanted.items() if stem not in files])
    problems.note("surplus", [stem for stem in files if stem not in wanted])
    kept = {stem: name for stem, name in wanted.items() if stem in files}
    return {stem: f"{stem}{suffix}" if suffix else _with_suffix(name) for stem, name in sorted(kept.items())}


def _with_suffix(name: str) -> str:
    return name if pathlib.PurePosixPath(name).suffix else f"{name}.png"


def _size(text: str | None, sample: Sample | None, image: np.ndarray) -> tuple[int, int]:
    """Return the wanted height and width."""
    if text is None or (text == "sample" and sample is None):
        return image.shape[0], image.shape[1]
    if sample is not None and text == "sample":
        return sample.height, sample.width
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UserError(f"--size {text}: give WIDTHxHEIGHT, such as 48x72, or sample")
    return int(height), int(width)


def convert(
    image: np.ndarray, size: tuple[int, int], bits: int | None, factor: float | None, name: str, problems: Problems
) -> np.ndarray:
    """Return (H,W,C) in the wanted size and depth; values that the depth cannot hold are noted as a problem."""
    dtype = _DTYPES[bits] if bits else image.dtype.name
    values = _resized(image, size).astype(np.float64)
    values = values * (_full(dtype) / _full(image.dtype.name) if factor is None else factor)
    if not np.isfinite(values).all():
        problems.note("values that are no numbers", [name])
        return np.zeros(values.shape, dtype)
    if dtype == "float32":
        return values.astype(np.float32)
    if values.size and (np.rint(values).min() < 0 or np.rint(values).max() > np.iinfo(dtype).max):
        problems.note(f"values beyond {dtype}", [name])
    return as_dtype(values, dtype)


def _full(dtype: str) -> float:
    return 1.0 if np.dtype(dtype).kind == "f" else float(np.iinfo(dtype).max)


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    import torch

    from data.transforms import resize

    planes = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32))
    low, high = float(image.min()), float(image.max())  # bicubic interpolation overshoots
    return resize(planes, size).clamp(low, high).numpy().transpose(1, 2, 0)


def encode(image: np.ndarray, name: str) -> bytes:
    """Return an image as the content of a file of this name; UserError where the format cannot hold it."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / pathlib.PurePosixPath(name).name
        write_image(path, image)
        return path.read_bytes()


def write_zip(out: pathlib.Path, contents: Mapping[str, bytes]) -> None:
    """Write files in the order of their names, without dates, so that equal contents are an equal zip.

    UserError where the disk does not take it.
    """
    try:
        with atomic_file(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
            for info, content in _entries(contents):
                archive.writestr(info, content)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from None


def _entries(contents: Mapping[str, bytes]) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    for name in sorted(contents):
        info = zipfile.ZipInfo(name, _DATE)
        info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, _MODE
        yield info, contents[name]
