"""Uploaded bytes -> files that are safe to decode: kind by content, size by header, names that are no paths."""

from __future__ import annotations

import dataclasses
import lzma
import os
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

import numpy as np

from data.readers import ImageInfo, read_image, read_info
from inference.server.refusal import BAD_REQUEST, NO_ROOM, TOO_LARGE, UNREADABLE, WRONG_TYPE, Refused
from util.errors import UserError

_MAGIC = {
    **{b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"BM": "bmp", b"\x93NUMPY": "npy", b"PK\3\4": "zip"},
    **{b"II*\0": "tiff", b"MM\0*": "tiff", b"II+\0": "tiff", b"MM\0+": "tiff", b"P5": "pgm", b"P6": "ppm"},
}
KINDS = "PNG, JPEG, TIFF, WebP, BMP, PGM, PPM or NPY"
_LONGEST_NAME = 100
_LARGEST_INDEX = 1 << 20  # bytes of a zip's table of contents, which is read whole; some ten thousand entries
_END, _END_64 = b"PK\5\6", b"PK\6\7"
_LONGEST_END = 66_000  # bytes of a zip's end record with the longest comment
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError, EOFError, OSError)
_STEP = 1 << 20


@dataclass(frozen=True)
class Upload:
    """One image on disk: its file, the name to show and answer with, its kind, what its header says, and its mask.

    With a ``refusal`` the file is gone and nothing else is known of it: others of the batch may be good.
    """

    path: pathlib.Path
    name: str
    kind: str
    info: ImageInfo
    mask: pathlib.Path | None = None
    refusal: Refused | None = None


@dataclass(frozen=True)
class Limits:
    """What one request may bring: pixels an image, images a batch, bytes of a zip once unpacked."""

    pixels: int
    files: int
    unpacked: int


def sniff(head: bytes) -> str | None:
    """Return the kind that the first bytes of a file show, such as "png" or "zip"; None for any other."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def safe_name(name: str | None) -> str:
    """Return the last part of a name that a client gave, in harmless characters; "image" where nothing is left."""
    last = re.split(r"[/\\]", name or "")[-1]
    plain = re.sub(r"[^\w.() -]", "_", last).strip(". ")
    stem, suffix = os.path.splitext(plain)
    return (stem[:_LONGEST_NAME] + suffix[:10]) or "image"


def save(source: BinaryIO, path: pathlib.Path, most: int) -> None:
    """Copy a stream into a new file; Refused beyond ``most`` bytes."""
    left = most
    with open(path, "xb") as file:
        while chunk := source.read(min(_STEP, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise Refused(TOO_LARGE, f"more than {most / 1e6:g} MB once unpacked; send fewer images at once")
            file.write(chunk)


def inspect(path: pathlib.Path, name: str, limits: Limits) -> Upload:
    """Return what a saved file is, from its header alone.

    Raises:
        Refused: empty, no image of a known kind, damaged already in its header, or too many pixels.
    """
    with open(path, "rb") as file:
        head = file.read(16)
    kind = sniff(head)
    if not head:
        raise Refused(UNREADABLE, f"{name}: the file is empty")
    if kind is None or kind == "zip":
        raise Refused(WRONG_TYPE, f"{name}: not an image by its content; send {KINDS}")
    try:
        info = read_info(path)
    except UserError as error:
        raise about(error, path, name) from None
    if info.height * info.width > limits.pixels:
        raise Refused(
            TOO_LARGE, f"{name}: {info.width}x{info.height} pixels; this server takes {limits.pixels:,} an image"
        )
    return Upload(path, name, kind, info)


def with_masks(
    uploads: list[Upload], masks: Sequence[tuple[BinaryIO, str | None]], folder: pathlib.Path, limits: Limits
) -> list[Upload]:
    """Return the uploads with the masks of their holes, which are stored below ``folder``.

    Raises:
        Refused: a mask is no image, too large, or of another size than its image, or there are not as many as images.
    """
    (folder / "masks").mkdir()
    found = collect(list(masks), folder / "masks", limits)
    if len(found) != len(uploads):
        raise Refused(BAD_REQUEST, f"{len(uploads)} images and {len(found)} masks; send one for each, in their order")
    for upload, mask in zip(uploads, found, strict=True):
        if mask.refusal is not None:
            raise mask.refusal
        if upload.refusal is not None:
            continue
        sizes = [f"{one.info.width}x{one.info.height}" for one in (mask, upload)]
        if sizes[0] != sizes[1]:
            raise Refused(UNREADABLE, f"{mask.name}: {sizes[0]} pixels, and {upload.name} has {sizes[1]}")
    return [dataclasses.replace(upload, mask=mask.path) for upload, mask in zip(uploads, found, strict=True)]


def decode(upload: Upload) -> np.ndarray:
    """Return the image's values (H,W,C); Refused when its bytes are damaged."""
    try:
        return read_image(upload.path)
    except UserError as error:
        raise about(error, upload.path, upload.name) from None


def about(error: UserError, path: pathlib.Path, name: str) -> Refused:
    """Return a complaint in terms of the client's file; how to raise a limit is not the client's matter.

    Args:
        path: the server's copy of the file; results differ from it by their suffix.
        name: what the client called it.
    """
    said = str(error).replace(str(path), "")  # whatever words the client's name has
    text = str(error).replace(str(path), name).replace(str(path.with_suffix("")), pathlib.PurePath(name).stem)
    message, limited, _ = text.partition("; cut it into tiles, or raise the limit")
    if name not in message and not message.startswith(pathlib.PurePath(name).stem):
        message = f"{name}: {message.removeprefix('image: ')}"
    return Refused(TOO_LARGE if limited else NO_ROOM if "memory" in said else UNREADABLE, message)


def collect(files: list[tuple[BinaryIO, str | None]], folder: pathlib.Path, limits: Limits) -> list[Upload]:
    """Write the images of one request, zips unpacked, into ``folder`` and return them, with what is refused of them.

    Raises:
        Refused: all of them are, or there are none or too many.
    """
    uploads: list[Upload] = []
    left = limits.unpacked
    for stream, name in _images(files):
        if len(uploads) >= limits.files:
            raise Refused(TOO_LARGE, f"more than {limits.files} images in one batch; send them in parts")
        path = folder / f"{len(uploads):06}.in"
        save(stream, path, left)
        left -= path.stat().st_size
        uploads.append(_inspected(path, safe_name(name), limits))
    if not uploads:
        raise Refused(BAD_REQUEST, f"no image in the request; send {KINDS}, or a zip of them")
    refusals = [upload.refusal for upload in uploads if upload.refusal is not None]
    if len(refusals) == len(uploads):
        raise refusals[0]
    return uploads


def _inspected(path: pathlib.Path, name: str, limits: Limits) -> Upload:
    """Return what a file is; one that is refused is deleted."""
    try:
        return inspect(path, name, limits)
    except Refused as refusal:
        path.unlink()
        return Upload(path, name, "", ImageInfo(0, 0, 1, "uint8"), refusal=refusal)


def _images(files: list[tuple[BinaryIO, str | None]]) -> Iterator[tuple[BinaryIO, str | None]]:
    for stream, name in files:
        stream.seek(0)
        zipped = sniff(stream.read(16)) == "zip"
        stream.seek(0)
        if zipped:
            yield from _members(stream, safe_name(name))
        else:
            yield stream, name


def _members(stream: BinaryIO, name: str) -> Iterator[tuple[BinaryIO, str]]:
    """Yield a zip's files under their own names; hidden ones, which systems add by themselves, are left out."""
    _check_index(stream, name)
    try:
        with zipfile.ZipFile(stream) as archive:
            for entry in archive.infolist():
                base = entry.filename.rpartition("/")[2]
                if base and not base.startswith("."):
                    with archive.open(entry) as member:
                        yield cast(BinaryIO, _Member(member, name)), base
    except _BROKEN_ZIP as error:
        raise Refused(UNREADABLE, f"{name}: not a readable zip ({str(error)[:80]})") from None


def _check_index(stream: BinaryIO, name: str) -> None:
    """Refuse a zip whose table of contents alone would fill the memory; Python reads it whole."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _LONGEST_END))
    tail = stream.read()
    stream.seek(0)
    end = tail.rfind(_END)
    if _END_64 in tail or (end >= 0 and int.from_bytes(tail[end + 12 : end + 16], "little") > _LARGEST_INDEX):
        raise Refused(TOO_LARGE, f"{name}: too many entries for one zip; send it in parts")


class _Member:
    """A zip's file while it is unpacked; bytes that cannot be are the client's fault."""

    def __init__(self, stream: IO[bytes], name: str) -> None:
        self._stream, self._name = stream, name

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except _BROKEN_ZIP as error:
            raise Refused(UNREADABLE, f"{self._name}: damaged zip ({str(error)[:80]})") from None
