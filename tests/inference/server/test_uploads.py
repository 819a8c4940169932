"""What arrives is looked at before it is decoded; nothing that is not a modest image gets further."""

from __future__ import annotations

import io
import pathlib
import re
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from inference.server.refusal import Refused
from inference.server.uploads import Limits, collect, decode, inspect, safe_name, sniff
from tests.inference.server.conftest import pixels, png

LIMITS = Limits(pixels=100_000, files=3, unpacked=1_000_000)


def bomb(side: int = 50_000) -> bytes:
    """Return a PNG of a few kilobytes whose header promises ``side`` x ``side`` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


def profile_bomb() -> bytes:
    """Return a small good PNG whose colour profile would unpack to 400 MB."""
    packer = zlib.compressobj(9)
    packed = b"".join([packer.compress(bytes(1 << 20)) for _ in range(400)] + [packer.flush()])
    data = b"iCCP" + b"x\0\0" + packed
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    good = png(pixels(16, 16))
    return good[:33] + chunk + good[33:]


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "npy":
        np.save(buffer, pixels())
    else:
        Image.fromarray(pixels()).save(buffer, {"pgm": "PPM", "ppm": "PPM"}.get(kind, kind))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp", "bmp", "ppm", "npy"])
def test_kinds_are_seen_in_the_content(kind: str, tmp_path: pathlib.Path) -> None:
    (upload,) = collect([(io.BytesIO(encoded(kind)), "photo.exe")], tmp_path, LIMITS)
    assert (upload.kind, upload.name) == (kind, "photo.exe")
    assert (upload.info.height, upload.info.width, upload.info.channels) == (40, 52, 3)
    assert decode(upload).shape == (40, 52, 3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/absolute/path.png", "path.png"),
        ("..", "image"),
        ("", "image"),
        (None, "image"),
        ("a\0b\r\nSet-Cookie: x.png", "a_b__Set-Cookie_ x.png"),
        ('"><script>.png', "___script_.png"),
        ("Größe 1.tif", "Größe 1.tif"),
        ("x" * 500 + ".png", "x" * 100 + ".png"),
        (".hidden", "hidden"),
    ],
)
def test_names_are_never_paths(name: str | None, expected: str) -> None:
    assert safe_name(name) == expected


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (bomb(), 413, "50000x50000"),
        (b"", 422, "empty"),
        (b"#!/bin/sh\nrm -rf /", 415, "not an image"),
        (b"%PDF-1.7 ...", 415, "not an image"),
        (b"8BPS" + bytes(100), 415, "not an image"),  # a kind that Pillow would read, but nobody needs
        (b"\x89PNG\r\n\x1a\n", 422, "photo"),
        (b"\xff\xd8\xff\xe0" + bytes(50), 422, "photo"),
        (b"\x93NUMPY\x01\x00", 422, "photo"),
        (b"II*\0" + b"\xff" * 60, 422, "photo"),
    ],
)
def test_bad_files_are_refused_in_one_line(content: bytes, status: int, words: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match=words) as refused:
        collect([(io.BytesIO(content), "photo")], tmp_path, LIMITS)
    assert refused.value.status == status
    assert "\n" not in str(refused.value) and str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("name", ["cut.png", "out of memory.png"])
def test_a_truncated_image_is_refused_when_it_is_decoded(name: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.in"
    path.write_bytes(png(pixels())[:-200])
    with pytest.raises(Refused, match=f"^{re.escape(name)}: not a readable image") as refused:
        decode(inspect(path, name, LIMITS))
    assert refused.value.status == 422, "the server's memory has nothing to do with it"


def test_a_zip_is_its_images(tmp_path: pathlib.Path) -> None:
    archive = zipped(
        {"a/one.png": png(pixels()), "../../two.png": png(pixels()), "__MACOSX/._one.png": b"junk", "d/": b""}
    )
    uploads = collect([(io.BytesIO(archive), "all.zip")], tmp_path, LIMITS)
    assert [upload.name for upload in uploads] == ["one.png", "two.png"]
    assert all(upload.path.parent == tmp_path for upload in uploads)
    assert sorted(tmp_path.iterdir()) == sorted(upload.path for upload in uploads)


@pytest.mark.parametrize(
    ("archive", "status", "words"),
    [
        (zipped({"zeros.png": bytes(50_000_000)}), 413, "unpacked"),
        (zipped({f"{n}.png": encoded("png") for n in range(4)}), 413, "more than 3 images"),
        (zipped({"inner.zip": zipped({"a.png": encoded("png")})}), 415, "not an image"),
        (zipped({"readme.txt": b"hello"}), 415, "not an image"),
        (zipped({"folder/": b""}), 400, "no image"),
        (zipped({"a.png": encoded("png")})[:-30], 422, "zip"),
        (zipped({f"{n:0200}": b"" for n in range(6000)}), 413, "too many entries"),
        (b"PK\3\4" + bytes(100), 422, "zip"),
    ],
    ids=["bomb", "many", "nested", "text", "none", "cut", "index", "junk"],
)
def test_bad_zips_are_refused(archive: bytes, status: int, words: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match=words) as refused:
        collect([(io.BytesIO(archive), "all.zip")], tmp_path, LIMITS)
    assert refused.value.status == status


def test_a_damaged_member_is_the_clients_fault(tmp_path: pathlib.Path) -> None:
    archive = bytearray(zipped({"a.png": png(pixels())}))
    archive[len(archive) // 2] ^= 0xFF
    with pytest.raises(Refused, match="zip") as refused:
        collect([(io.BytesIO(bytes(archive)), "all.zip")], tmp_path, LIMITS)
    assert refused.value.status == 422


def test_other_bytes_have_no_kind() -> None:
    assert sniff(b"RIFF1234WAVE") is None and sniff(b"") is None and sniff(b"RIFF1234WEBPVP8 ") == "webp"
