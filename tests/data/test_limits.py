"""Small files that claim to be huge, and files that ask for other programs, are refused before anything happens."""

from __future__ import annotations

import io
import os
import pathlib
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from data.limits import check_pixels
from data.readers import read_image, read_info
from util.errors import UserError

MEGABYTES = 40  # more than reading the refused files takes, and far less than they claim


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def _npy(shape: str, descr: str = "'|u1'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(100)


def _tiff(width: int, height: int, strip: bytes = b"\0" * 8) -> bytes:
    """Return a TIFF of one deflated strip."""
    longs, shorts = {256: width, 257: height, 273: 8, 278: height, 279: len(strip)}, {258: 8, 259: 8, 262: 1, 277: 1}
    strip += b"\0" * (len(strip) % 2)
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in longs.items()}
    entries |= {tag: struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in shorts.items()}
    body = b"".join(entries[tag] for tag in sorted(entries))
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(entries)) + body + bytes(4)


def _bmp(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "BMP")
    content = bytearray(buffer.getvalue())
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


BOMBS = {
    "png": _png(50_000, 50_000),
    "tif": _tiff(50_000, 50_000),
    "bmp": _bmp(50_000, 50_000),
    "npy": _npy("(50000, 50000)"),
    "channels.npy": _npy("(10000, 10000, 100)"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_claimed_size_beyond_the_limit_is_refused_before_decoding(tmp_path: pathlib.Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name])
    tracemalloc.start()
    for read in (read_image, read_info):
        with pytest.raises(UserError, match="more than .* pixels; .* raise the limit with A2B_MAX_PIXELS=N"):
            read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEGABYTES << 20


def test_the_limit_can_be_raised_beyond_that_of_pillow(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    Image.new("L", (9, 9)).save(tmp_path / "a.webp")
    assert read_image(tmp_path / "a.webp").shape == (9, 9, 3)
    monkeypatch.setenv("A2B_MAX_PIXELS", str(10**11))
    check_pixels(tmp_path, 100_000, 500_000)


@pytest.mark.parametrize("content", [_npy("(9000, 9000)"), _npy("(9000, 9000)", "'<f8'")])
def test_an_array_that_is_not_all_there_is_refused_before_room_is_made(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(UserError, match="truncated"):
        read_image(tmp_path / "a.npy")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEGABYTES << 20


@pytest.mark.parametrize("descr", ["'|O'", "'|V100000000'", "'<U1000'", "[('a', '|u1')]", "__import__('os')"])
def test_arrays_of_anything_but_numbers_are_refused(tmp_path: pathlib.Path, descr: str) -> None:
    (tmp_path / "a.npy").write_bytes(_npy("(2, 2)", descr))
    with pytest.raises(UserError, match="not a readable image"):
        read_image(tmp_path / "a.npy")


def test_a_strip_that_unpacks_to_more_than_its_image_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.tif").write_bytes(_tiff(8, 8, zlib.compress(bytes(1 << 26), 9)))
    with pytest.raises(UserError, match="not a readable image"):
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.ones((8, 8), np.uint8), compression="zlib")
    assert read_image(tmp_path / "b.tif").all()


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands for the other program")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_postscript_under_an_image_s_name_starts_no_ghostscript(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    path = tmp_path / f"a.{suffix}"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    for read in (read_image, read_info):
        with pytest.raises(UserError, match="unknown format"):
            read(path)
    assert not (tmp_path / "started").exists()
