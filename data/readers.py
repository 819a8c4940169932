"""Image files -> arrays, in the file's own depth and channels.

Pillow reads 16-bit RGB PNG as 8-bit without a word, so OpenCV reads those; tifffile reads TIFF; Pillow reads
palettes, 1-bit, CMYK and everything rarer. Plain 8-bit PNG and JPEG go through OpenCV because it is the fastest.
"""

from __future__ import annotations

import io
import math
import os
import pathlib
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.limits import FORMATS, check_pixels
from data.writers import as_hwc
from util.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".npy", ".ppm", ".pgm")
_PNG, _JPEG, _NPY = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class ImageInfo:
    """What a file's header says: height and width in pixels, channels, dtype (uint8, uint16 or float32)."""

    height: int
    width: int
    channels: int
    dtype: str


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an image as H x W x C (RGB order, alpha kept) in uint8, uint16 or float32.

    EXIF orientation is applied. Other number types become float32.

    Raises:
        UserError: missing, empty, truncated, no image, or more pixels than A2B_MAX_PIXELS; one line with the file.
    """
    path = pathlib.Path(path)
    return _guarded(path, lambda data: as_hwc(_plain(_decoder(data)(path, data))))


def read_info(path: str | os.PathLike[str]) -> ImageInfo:
    """Read size, channels and dtype, from the header alone for PNG and whatever Pillow knows.

    Raises:
        UserError: as :func:`read_image`.
    """
    path = pathlib.Path(path)
    head = _bytes(path, 32)
    if head[:8] == _PNG and len(head) >= 29 and head[25] in (0, 2, 4, 6):
        width, height, depth, kind = struct.unpack(">IIBB", head[16:26])
        check_pixels(path, height, width)
        channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
        return ImageInfo(height, width, channels, "uint16" if depth == 16 else "uint8")
    quick = _tiff_info if head[:4] in _TIFF else _pillow_info
    return quick(path) or _info_of(read_image(path))


def _info_of(image: np.ndarray) -> ImageInfo:
    height, width, channels = image.shape
    return ImageInfo(height, width, channels, image.dtype.name)


def _tiff_info(path: pathlib.Path) -> ImageInfo | None:
    """Return the header of a TIFF of one plain page, None where only decoding tells."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page, pages = tiff.pages.first, len(tiff.pages)
            plain = pages == 1 and page.photometric in (0, 1, 2) and not _is_turned(page) and page.imagedepth == 1
            dtype = np.dtype(page.dtype or "V").name
            shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
            depth = page.bitspersample
    except Exception:  # parsers raise anything on hostile bytes; decoding then says what is wrong
        return None
    if not plain or depth == 1 or dtype not in ("uint8", "uint16", "float32"):
        return None
    check_pixels(path, *shape)
    return ImageInfo(*shape, dtype)


def _is_turned(page: Any) -> bool:
    return 274 in page.tags and page.tags[274].value != 1


def _pillow_info(path: pathlib.Path) -> ImageInfo | None:
    """Return the header as Pillow sees it, None where only decoding tells (npy, broken files)."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the limit here is ours, which can be raised
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if image.getexif().get(0x0112, 1) >= 5:
                    width, height = height, width
                channels = _CHANNELS.get(image.mode)
    except (OSError, SyntaxError, ValueError):
        return None
    check_pixels(path, height, width)
    return ImageInfo(height, width, channels, "uint8") if channels else None


_CHANNELS = {"1": 1, "L": 1, "LA": 2, "P": 3, "RGB": 3, "RGBA": 4, "CMYK": 3, "YCbCr": 3}


def _bytes(path: pathlib.Path, count: int = -1) -> bytes:
    """Return the first ``count`` bytes of a file, or all."""
    try:
        with open(path, "rb") as file:
            data = file.read(count)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if not data:
        raise UserError(f"{path}: the file is empty; delete it or copy it again")
    return data


def _guarded(path: pathlib.Path, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    """Run a decoder, turning whatever it raises on bad bytes into one line."""
    data = _bytes(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode(data)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on hostile bytes
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path}: not a readable image ({reason}); delete it or copy it again") from None


def _decoder(data: bytes) -> Callable[[pathlib.Path, bytes], np.ndarray]:
    if data[:8] == _PNG:
        return _read_png
    if data[:3] == _JPEG:
        return _read_jpeg
    if data[:4] in _TIFF:
        return _read_tiff
    return _read_npy if data[:6] == _NPY else _read_pillow


def _read_png(path: pathlib.Path, data: bytes) -> np.ndarray:
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    check_pixels(path, height, width)
    chunks = _png_chunks(data)
    if depth < 8 or kind == 3 or b"eXIf" in chunks:
        return _read_pillow(path, data)
    flags = 0 if kind == 0 and depth == 8 else -1  # IMREAD_GRAYSCALE, IMREAD_UNCHANGED
    return _opencv(data, flags)


def _png_chunks(data: bytes) -> set[bytes]:
    """Return the chunk types of a PNG; ValueError when it is cut short or a checksum is wrong."""
    seen, position = set(), 8
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError("damaged: a checksum is wrong")
        seen.add(kind)
        if kind == b"IEND":
            return seen
        position = end + 4
    raise ValueError("truncated")


def _read_jpeg(path: pathlib.Path, data: bytes) -> np.ndarray:
    height, width, components = _jpeg_frame(data)
    check_pixels(path, height, width)
    if components not in (1, 3) or data[-2:] != b"\xff\xd9":  # CMYK, or maybe cut short, which only Pillow notices
        return _read_pillow(path, data)
    return _opencv(data, 0 if components == 1 else 1)  # these apply the EXIF orientation


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Return height, width and components from a JPEG's frame header."""
    position = 2
    while position + 10 <= len(data):
        marker = data[position + 1]
        if data[position] != 0xFF:
            break
        if marker == 0xFF:
            position += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return struct.unpack(">HHB", data[position + 5 : position + 10])
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise ValueError("truncated before the image begins")


def _opencv(data: bytes, flags: int) -> np.ndarray:
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError("damaged")
    if image.ndim == 3 and image.shape[2] >= 3:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return image


def _read_tiff(path: pathlib.Path, data: bytes) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page, series = tiff.pages.first, tiff.series[0]
        height, width = page.imagelength, page.imagewidth
        check_pixels(path, height, width, series.size // max(1, height * width))
        if page.photometric in (3, 5) or page.bitspersample == 1 or _is_turned(page):
            return _read_pillow(path, data)
        image = _channels_last(series.asarray(), series.axes)
    return np.iinfo(image.dtype).max - image if page.photometric == 0 and image.dtype.kind == "u" else image


def _channels_last(image: np.ndarray, axes: str) -> np.ndarray:
    """Return H x W x C; the axis that is neither Y nor X (samples, planes, pages) holds the channels."""
    keep = [i for i, (axis, size) in enumerate(zip(axes, image.shape, strict=True)) if axis in "YX" or size > 1]
    image, axes = image.reshape([image.shape[i] for i in keep]), "".join(axes[i] for i in keep)
    if len(axes) > 3:
        raise ValueError(f"{len(axes)} dimensions ({axes}); expected height, width and channels")
    if len(axes) == 2:
        return image[..., None]
    other = next(i for i, axis in enumerate(axes) if axis not in "YX")
    return np.moveaxis(image, other, -1)


def _read_npy(path: pathlib.Path, data: bytes) -> np.ndarray:
    shape, dtype = _npy_header(data)
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"shape {shape}; expected H x W or H x W x C")
    check_pixels(path, *shape)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"pixels of type {dtype}")
    if math.prod(shape) * dtype.itemsize > len(data):  # numpy makes room for all of it before it reads
        raise ValueError("truncated")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _npy_header(data: bytes) -> tuple[tuple[int, ...], np.dtype]:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _read_pillow(path: pathlib.Path, data: bytes) -> np.ndarray:
    from PIL import Image, ImageOps

    Image.MAX_IMAGE_PIXELS = None  # the limit here is ours, which can be raised
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_pixels(path, image.height, image.width, len(image.getbands()))
            return np.asarray(_converted(ImageOps.exif_transpose(image)))
    except Image.UnidentifiedImageError:
        raise ValueError("unknown format") from None


def _converted(image: Image.Image) -> Image.Image:
    modes = {"1": "L", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "PA": "RGBA"}
    modes |= {"RGBX": "RGB", "RGBa": "RGBA", "La": "LA"}
    return image.convert(modes[image.mode]) if image.mode in modes else image


def _plain(image: np.ndarray) -> np.ndarray:
    """Return uint8, uint16 or float32; booleans become 0 and 255."""
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * 255
    if image.dtype in (np.uint8, np.uint16, np.float32):
        return image
    if image.dtype.kind not in "iuf":
        raise ValueError(f"pixels of type {image.dtype}")
    return image.astype(np.uint16 if image.dtype.kind == "u" and image.dtype.itemsize == 2 else np.float32)
