"""docs/images.md, row by row: a file of each kind is read, mapped to [-1,1] and back, written and read again."""

from __future__ import annotations

import pathlib
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from data.readers import read_image, read_info
from data.sample import Side
from data.transfer import as_floats
from data.transforms import Geometry
from data.value_range import DTYPE_RANGES, ValueRange, estimate_range
from data.writers import FileFormat, write_image
from inference.outputs import to_file_values

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "images.md"
TABLE = [line.split("|")[1:-1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
ROWS = [[cell.strip() for cell in row] for row in TABLE[2:]]
RNG = np.random.default_rng(7)
Maker = Callable[[pathlib.Path], np.ndarray]
MAKERS: dict[str, tuple[str, Maker]] = {}


def of(name: str, suffix: str = ".png") -> Callable[[Maker], Maker]:
    def add(maker: Maker) -> Maker:
        MAKERS[name] = (suffix, maker)
        return maker

    return add


def noise(channels: int, high: int = 256, dtype: str = "uint8") -> np.ndarray:
    return RNG.integers(0, high, (12, 14, channels)).astype(dtype)


def smooth() -> np.ndarray:
    ramp = np.linspace(0, 255, 32)
    return np.stack([np.add.outer(ramp, ramp) / 2, np.tile(ramp, (32, 1)), np.tile(ramp[:, None], 32)], 2).astype("u1")


def pillow(path: pathlib.Path, image: np.ndarray, **settings: object) -> np.ndarray:
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(path, **settings)
    return image


def turned(path: pathlib.Path) -> None:
    """Write the tag for "turn right to see it upright" into a PNG made by OpenCV."""
    exif = Image.Exif()
    exif[0x0112] = 6
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    data = path.read_bytes()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:33] + chunk + data[33:])


def right(image: np.ndarray) -> np.ndarray:
    return np.rot90(image, -1)


of("PNG grey")(lambda path: pillow(path, noise(1)))
of("PNG colour")(lambda path: pillow(path, noise(3)))
of("PNG grey with alpha")(lambda path: pillow(path, noise(2)))
of("PNG colour with alpha")(lambda path: pillow(path, noise(4)))
of("WebP lossless", ".webp")(lambda path: pillow(path, noise(3), lossless=True))
of("WebP with alpha", ".webp")(lambda path: pillow(path, noise(4) | np.uint8(1), lossless=True))
of("BMP colour", ".bmp")(lambda path: pillow(path, noise(3)))
of("PPM", ".ppm")(lambda path: pillow(path, noise(3)))


@of("PNG palette")
def _(path: pathlib.Path) -> np.ndarray:
    picture = Image.fromarray(noise(3)).quantize(16)
    picture.save(path)
    return np.asarray(picture.convert("RGB"))


@of("PNG palette with a clear colour")
def _(path: pathlib.Path) -> np.ndarray:
    picture = Image.fromarray(noise(3)).quantize(16)
    picture.save(path, transparency=3)
    alpha = np.where(np.asarray(picture) == 3, 0, 255).astype(np.uint8)
    return np.dstack([np.asarray(picture.convert("RGB")), alpha])


@of("PNG black and white")
def _(path: pathlib.Path) -> np.ndarray:
    bits = noise(1, 2)
    Image.fromarray(bits[..., 0] > 0).save(path)
    return bits * np.uint8(255)


def opencv(path: pathlib.Path, channels: int, high: int = 65_536) -> np.ndarray:
    image = noise(channels, high, "uint16")
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    assert cv2.imwrite(str(path), image[..., order])
    return image


of("PNG grey, 16 bit")(lambda path: opencv(path, 1))
of("PNG grey, 12 bit in 16")(lambda path: opencv(path, 1, 4096))
of("PNG colour, 16 bit")(lambda path: opencv(path, 3))
of("PNG colour with alpha, 16 bit")(lambda path: opencv(path, 4))


@of("PNG turned by EXIF, 16 bit")
def _(path: pathlib.Path) -> np.ndarray:
    image = opencv(path, 3)
    turned(path)
    return right(image)


@of("PGM, 12 bit", ".pgm")
def _(path: pathlib.Path) -> np.ndarray:
    image = noise(1, 4096, "uint16")
    path.write_bytes(b"P5 14 12 4095\n" + image.astype(">u2").tobytes())
    return image


of("JPEG grey", ".jpg")(lambda path: pillow(path, smooth()[..., :1], quality=95))
of("JPEG colour", ".jpg")(lambda path: pillow(path, smooth(), quality=95))


@of("JPEG CMYK", ".jpg")
def _(path: pathlib.Path) -> np.ndarray:
    Image.fromarray(smooth()).convert("CMYK").save(path, quality=95)
    return smooth()


@of("JPEG turned by EXIF", ".jpg")
def _(path: pathlib.Path) -> np.ndarray:
    exif = Image.Exif()
    exif[0x0112] = 6
    return right(pillow(path, smooth(), quality=95, exif=exif))


def tiff(path: pathlib.Path, image: np.ndarray, stored: np.ndarray | None = None, **settings: object) -> np.ndarray:
    tifffile.imwrite(path, image if stored is None else stored, **{"photometric": "minisblack"} | settings)
    return image


def planes(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(image, -1, 0))


def tiff_of(name: str, dtype: str, channels: int = 1, high: int = 60_000, **settings: object) -> None:
    def make(path: pathlib.Path) -> np.ndarray:
        image = noise(channels, high).astype(dtype) if dtype[0] == "i" else noise(channels, high, "int64").astype(dtype)
        apart = channels > 1 and settings.get("planarconfig") != "contig"
        stored = image[..., 0] if channels == 1 else planes(image) if apart else image
        return tiff(path, image.astype(np.float32) if dtype in ("float16", "int16") else image, stored, **settings)

    MAKERS[name] = (".tif", make)


tiff_of("TIFF grey, 16 bit", "uint16")
tiff_of("TIFF packed 12 bit", "uint16", high=4096, bitspersample=12)
tiff_of("TIFF float", "float32")
tiff_of("TIFF half float", "float16", high=2000)
tiff_of("TIFF signed", "int16", high=200)
tiff_of("TIFF multispectral", "uint16", 13, planarconfig="contig")
tiff_of("TIFF multispectral, planes apart", "uint16", 13, planarconfig="separate")
tiff_of("TIFF of pages", "uint16", 5)
tiff_of("TIFF big-endian", "uint16", byteorder=">")


@of("TIFF white is zero", ".tif")
def _(path: pathlib.Path) -> np.ndarray:
    image = noise(1, 65_536, "uint16")
    tiff(path, image[..., 0], photometric="miniswhite")
    return 65_535 - image


@of("TIFF of colour pages", ".tif")
def _(path: pathlib.Path) -> np.ndarray:
    pages = [noise(3) for _ in range(4)]
    tiff(path, np.stack(pages), photometric="rgb")
    return np.concatenate(pages, axis=2)


@of("TIFF CMYK", ".tif")
def _(path: pathlib.Path) -> np.ndarray:
    picture = Image.fromarray(noise(3)).convert("CMYK")
    picture.save(path)
    return np.asarray(picture.convert("RGB"))


@of("TIFF turned, float", ".tif")
def _(path: pathlib.Path) -> np.ndarray:
    image = noise(5).astype(np.float32)
    return right(tiff(path, image, planarconfig="contig", extratags=[(274, "H", 1, 6, True)]))


def numpy_file(path: pathlib.Path, image: np.ndarray) -> np.ndarray:
    np.savez(path, depth=image) if path.suffix == ".npz" else np.save(path, image[..., 0])
    return image.astype(np.float32)


of("npy", ".npy")(lambda path: numpy_file(path, RNG.normal(size=(12, 14, 1)).astype(np.float32)))
of("npy, doubles", ".npy")(lambda path: numpy_file(path, RNG.normal(size=(12, 14, 1))))
of("npz with one array", ".npz")(lambda path: numpy_file(path, RNG.normal(size=(12, 14, 7)).astype(np.float32)))
of("heights in metres at 1e-9", ".npy")(lambda path: numpy_file(path, RNG.normal(size=(12, 14, 1)) * 3e-9))


@of("disparities, some infinite", ".npz")
def _(path: pathlib.Path) -> np.ndarray:
    image = RNG.uniform(5, 60, (12, 14, 1)).astype(np.float32)
    image[2:4, 3:9] = np.inf
    return numpy_file(path, image)


def test_every_row_has_a_file_and_every_file_a_row() -> None:
    assert {row[0] for row in ROWS} == set(MAKERS) and len(ROWS) == len(MAKERS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_row(row: list[str], tmp_path: pathlib.Path) -> None:
    name, _, dtype, channels, suffix, kept = row
    path = tmp_path / f"a{MAKERS[name][0]}"
    expected = MAKERS[name][1](path)
    read, info = read_image(path), read_info(path)
    assert (read.dtype.name, read.shape[2]) == (dtype, int(channels))
    assert (info.height, info.width, info.channels, info.dtype) == (*read.shape, dtype)
    lossy = MAKERS[name][0] == ".jpg"
    np.testing.assert_allclose(read.astype(float), expected.astype(float), atol=9 if lossy else 0)
    again = _through_a_run(read, path, tmp_path / f"out{suffix}")
    assert FileFormat(dtype, read.shape[2]).suffix == suffix and again.dtype == read.dtype
    finite = np.isfinite(read)
    exact = "7 digits" not in kept
    assert exact == (dtype != "float32") and kept.startswith(("yes", "no", "as decoded", "to 7 digits"))
    np.testing.assert_allclose(again[finite], read[finite], rtol=0, atol=0 if exact else 3e-7 * read[finite].max())
    assert np.isnan(again[~finite]).all() and ("infinite" in kept) == (not finite.all())


def _through_a_run(image: np.ndarray, path: pathlib.Path, output: pathlib.Path) -> np.ndarray:
    """Map to [-1,1] as a data set does, back as test.py does, write and read again."""
    value_range = estimate_range([image], image.dtype.name)
    if image.dtype == np.uint8:
        value_range = ValueRange(*DTYPE_RANGES["uint8"])
    file_format = FileFormat(image.dtype.name, image.shape[2])
    side = Side("--input_nc", image.shape[2], value_range, file_format)
    sample = as_floats(side.place("A", side.prepare(image, path, None), Geometry(), path))
    assert 0.5 < sample["A"].abs().max() <= 1.5
    values = to_file_values(sample["A"], value_range, file_format.dtype)
    if "A_mask" in sample:
        values = np.where(sample["A_mask"].permute(1, 2, 0).numpy() > 0, values, np.float32(np.nan))
    write_image(output, values)
    return read_image(output)

