"""Image files -> arrays, in the file's own depth and channels.

Pillow reads 16-bit RGB PNG as 8-bit without a word, so OpenCV reads those; tifffile reads TIFF; Pillow reads
palettes, 1-bit, CMYK and everything rarer. Plain 8-bit PNG and JPEG go through OpenCV because it is the fastest.
"""

from __future__ import annotations

import functools
import io
import os
import pathlib
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.arrays import read_npy, read_npz
from data.limits import FORMATS, check_pixels
from data.orientation import is_transposed, of_exif, of_picture, upright
from data.tiff import Decoder, read_tiff, tiff_header
from data.writers import as_hwc
from util.errors import BadFile, UserError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".npy", ".npz", ".ppm", ".pgm")
_PNG, _JPEG, _NPY, _ZIP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY", b"PK\x03\x04"
_PNM = (b"P5", b"P6")
_AS_STORED = 128 | 2  # IMREAD_IGNORE_ORIENTATION | IMREAD_ANYDEPTH, and grey; | 1 for colour
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
        BadFile: missing, empty, truncated or no image; one line with the file.
        UserError: more pixels than A2B_MAX_PIXELS.
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
    if head[:8] == _PNG and len(head) >= 29 and head[25] in _PNG_CHANNELS:
        return _png_info(path, head)
    if head[:4] in _TIFF:
        header = tiff_header(path)
        return ImageInfo(*header) if header else _info_of(read_image(path))
    plain = head[:2] not in _PNM  # whose depth Pillow does not tell
    return (_pillow_info(path) if plain else None) or _info_of(read_image(path))


_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def _png_info(path: pathlib.Path, head: bytes) -> ImageInfo:
    """Return the header of a PNG without palette; chunks before the pixels are passed over unread, but for EXIF's."""
    width, height, depth, kind = struct.unpack(">IIBB", head[16:26])
    check_pixels(path, height, width)
    if is_transposed(_png_orientation(path)):
        width, height = height, width
    return ImageInfo(height, width, _PNG_CHANNELS[kind], "uint16" if depth == 16 else "uint8")


def _png_orientation(path: pathlib.Path) -> int:
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return of_exif(file.read(length))
            if kind == b"IDAT":
                break
            file.seek(length + 4, os.SEEK_CUR)
    return 1


def _info_of(image: np.ndarray) -> ImageInfo:
    height, width, channels = image.shape
    return ImageInfo(height, width, channels, image.dtype.name)


def _pillow_info(path: pathlib.Path) -> ImageInfo | None:
    """Return the header as Pillow sees it, None where only decoding tells (npy, broken files)."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the limit here is ours, which can be raised
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if is_transposed(of_picture(image)):
                    width, height = height, width
                clear = image.mode == "P" and "transparency" in image.info
                channels = 4 if clear else _CHANNELS.get(image.mode)
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
        raise BadFile(f"{path}: cannot be read ({error.strerror})") from None
    if not data:
        raise BadFile(f"{path}: the file is empty; delete it or copy it again")
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
        raise BadFile(f"{path}: not a readable image ({reason}); delete it or copy it again") from None


def _decoder(data: bytes) -> Decoder:
    if data[:8] == _PNG:
        return _read_png
    if data[:3] == _JPEG:
        return _read_jpeg
    if data[:4] in _TIFF:
        return functools.partial(read_tiff, otherwise=_read_pillow)
    if data[:2] in _PNM:
        return _read_pnm
    return read_npy if data[:6] == _NPY else read_npz if data[:4] == _ZIP else _read_pillow


def _read_png(path: pathlib.Path, data: bytes) -> np.ndarray:
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    check_pixels(path, height, width)
    exif = _png_exif(data)
    if depth < 8 or kind == 3:
        return _read_pillow(path, data)
    image = as_hwc(_opencv(data, {0: _AS_STORED, 2: _AS_STORED | 1}.get(kind, -1)))
    image = image[..., [0, 3]] if kind == 4 else image  # OpenCV makes RGBA of grey with alpha
    return upright(image, of_exif(exif)) if exif else image


def _png_exif(data: bytes) -> bytes:
    """Return the EXIF data of a PNG, if any; ValueError when the file is cut short or a checksum is wrong."""
    exif, position = b"", 8
    while position + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[position : position + 8])
        end = position + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError("damaged: a checksum is wrong")
        if kind == b"IEND":
            return exif
        exif = data[position + 8 : end] if kind == b"eXIf" else exif
        position = end + 4
    raise ValueError("truncated")


def _read_pnm(path: pathlib.Path, data: bytes) -> np.ndarray:
    """Return the values of a binary PGM or PPM as they are; Pillow would stretch 12 bits to 16."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        check_pixels(path, image.height, image.width, len(image.getbands()))
    return _opencv(data, -1)


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


def _read_pillow(path: pathlib.Path, data: bytes) -> np.ndarray:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # the limit here is ours, which can be raised
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_pixels(path, image.height, image.width, len(image.getbands()))
            pixels = np.asarray(_converted(image))  # which turns a TIFF, and takes its tag away
            return upright(pixels, of_picture(image))
    except Image.UnidentifiedImageError:
        raise ValueError("unknown format") from None


def _converted(image: Image.Image) -> Image.Image:
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA")
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
