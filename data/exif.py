"""EXIF data from and into TIFF files, which hold them as tags and directories of their own."""

from __future__ import annotations

import contextlib
import pathlib
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

Directories = Mapping[int, Mapping[int, Any]]

SOFTWARE = 305
_HEAD, _BIG_HEAD = b"II*\0" + bytes(4), b"II+\0" + bytes(12)
_TEXTS = (269, 271, 272, SOFTWARE, 306, 315, 316, 33432)  # document, maker, model, date, artist, machine, rights
_DIRECTORIES = (34665, 34853)  # of the camera, of the place
_STALE = (40962, 40963, 40965)  # the size of the picture as it was taken; a pointer into the file
_LONG, _LONG8, _ASCII = 4, 16, 2  # types of TIFF


def exif_of_tiff(path: pathlib.Path) -> bytes:
    """Return what the first page says of camera, place and people, as other formats hold it; empty for nothing."""
    from PIL import Image

    source, kept = Image.Exif(), Image.Exif()
    with path.open("rb") as file:
        source.load_from_fp(file)
        for code in _TEXTS:
            if code in source and not str(source[code]).startswith("tifffile"):  # which is no camera
                kept[code] = source[code]
        for code, directory in _directories(source).items():
            kept[code] = directory
    return kept.tobytes() if len(kept) else b""


def parts_of(exif: bytes) -> tuple[dict[int, bytes], Directories]:
    """Return the texts and the directories of EXIF data that a TIFF can hold, by the codes of their tags."""
    from PIL import Image

    source = Image.Exif()
    with contextlib.suppress(Exception):  # hostile bytes; the image matters more
        source.load(exif)
        texts = {code: str(source[code]).encode("latin-1", "replace") for code in _TEXTS if code in source}
        return texts, _directories(source)
    return {}, {}


def _directories(source: Any) -> Directories:
    found: dict[int, dict[int, Any]] = {}
    for code in _DIRECTORIES:
        directory = {key: value for key, value in source.get_ifd(code).items() if key not in _STALE}
        with contextlib.suppress(Exception):  # values that fit no type
            if directory and _packed(directory, 0, large=False):
                found[code] = directory
    return found


def _packed(directory: Mapping[int, Any], offset: int, *, large: bool) -> bytes:
    """Return a directory's bytes, as they are at this place of a file."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    packer = ImageFileDirectory_v2(_BIG_HEAD if large else _HEAD)
    for code, value in directory.items():
        packer[code] = value
    return packer.tobytes(offset)


def tags_of(texts: Mapping[int, bytes]) -> list[tuple[Any, ...]]:
    """Return the texts as tifffile takes them, which has a parameter for the software."""
    return [(code, _ASCII, None, text, True) for code, text in texts.items() if code != SOFTWARE]


def append(file: BinaryIO, directories: Directories, *, large: bool) -> None:
    """Put directories behind a little-endian TIFF of one page, which is written and open for reading.

    The page's own directory, which is to point at them, is written anew behind them; its values stay where they are.

    Args:
        large: whether the file is a BigTIFF, whose offsets have 64 bits.
    """
    if not directories:
        return
    offset, count, entry = ("<Q", "<Q", "<HHQQ") if large else ("<I", "<H", "<HHII")
    first = len(_BIG_HEAD if large else _HEAD) - struct.calcsize(offset)
    (place,) = _unpacked(file, first, offset)
    (number,) = _unpacked(file, place, count)
    size = struct.calcsize(entry)
    entries = [file.read(size) for _ in range(number)]
    for code, directory in directories.items():
        end = _even_end(file)
        file.write(_packed(directory, end, large=large))
        entries.append(struct.pack(entry, code, _LONG8 if large else _LONG, 1, end))
    entries.sort(key=lambda packed: struct.unpack("<H", packed[:2]))
    end = _even_end(file)
    file.write(struct.pack(count, len(entries)) + b"".join(entries) + struct.pack(offset, 0))
    file.seek(first)
    file.write(struct.pack(offset, end))


def _unpacked(file: BinaryIO, place: int, layout: str) -> tuple[Any, ...]:
    file.seek(place)
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _even_end(file: BinaryIO) -> int:
    """Go to the end of a file, where a directory may begin, and return its place."""
    end = file.seek(0, 2)
    return end + file.write(bytes(end % 2))
