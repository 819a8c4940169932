"""What image files say of their images beside the pixels."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import struct
import zlib
from dataclasses import dataclass

from data.exif import exif_of_tiff
from data.png_rows import PngRows

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # what such files begin with
INCH = 0.0254  # metres
_DENSEST = 2e9  # pixels per metre, of which PNG holds 31 bits
_LARGEST_PROFILE = 1 << 24  # bytes; a few kilobytes of a hostile file could unpack to gigabytes


@dataclass(frozen=True)
class Metadata:
    """What an image says of itself.

    Attributes:
        icc: its colour profile.
        exif: without the orientation, which is applied.
        density: pixels per metre, to the right and down.
        description: in words, for a TIFF.
    """

    icc: bytes = b""
    exif: bytes = b""
    density: tuple[float, float] | None = None
    description: str = ""

    def enlarged(self, scale: int) -> Metadata:
        """Return that of the same scene in so many times as many pixels a side."""
        density = self.density and (self.density[0] * scale, self.density[1] * scale)
        return dataclasses.replace(self, density=density)

    def of_channels(self, count: int) -> Metadata:
        """Return that of an image of so many channels: a profile for ink or for grey says nothing of its colours."""
        fits = self.icc[16:20] == (b"GRAY" if count < 3 else b"RGB ")
        return self if fits else dataclasses.replace(self, icc=b"")


def read_metadata(path: pathlib.Path) -> Metadata:
    """Return what a file says of its image; empty where there is nothing or it cannot be read."""
    with contextlib.suppress(Exception), path.open("rb") as file:
        head = file.read(4)
        if head in TIFF:
            return _tiff_metadata(path)
        if head == b"\x89PNG":
            file.seek(0)
            chunks = PngRows(file).chunks
            if b"eXIf" not in chunks:
                return _png_metadata(chunks)
    with contextlib.suppress(Exception):
        from PIL import Image

        with Image.open(path) as image:
            exif, dpi = image.getexif(), image.info.get("dpi")
            sideways = exif.pop(0x0112, 1) >= 5
            density = _density(dpi[0] / INCH, dpi[1] / INCH, sideways) if dpi else None
            told = exif.tobytes() if len(exif) else b""
            return Metadata(image.info.get("icc_profile") or b"", told, density, _plain(exif.get(0x010E)))
    return Metadata()


def _png_metadata(chunks: dict[bytes, bytes]) -> Metadata:
    icc, density = b"", None
    if b"iCCP" in chunks:
        packed = chunks[b"iCCP"].partition(b"\0")[2][1:]
        icc = zlib.decompressobj().decompress(packed, _LARGEST_PROFILE)
    if chunks.get(b"pHYs", b"")[8:] == b"\1":  # else only the pixels' proportions
        density = _density(*struct.unpack(">II", chunks[b"pHYs"][:8]))
    return Metadata(icc, density=density)


def _tiff_metadata(path: pathlib.Path) -> Metadata:
    """Return that of the first page; descriptions that tell the layout of the file's numbers stay with it."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        values = {code: page.tags[code].value for code in (270, 274, 282, 283, 296, 34675) if code in page.tags}
        layout = tiff.is_shaped or tiff.is_imagej or tiff.is_ome
    unit, density = {2: INCH, 3: 0.01}.get(values.get(296, 2)), None
    if unit and 282 in values and 283 in values:
        across, down = (values[code][0] / values[code][1] / unit for code in (282, 283))
        density = _density(across, down, values.get(274, 1) >= 5)
    plain = _plain(values.get(270)) if not layout else ""
    exif = b""
    with contextlib.suppress(Exception):  # the rest is worth keeping
        exif = exif_of_tiff(path)
    return Metadata(values.get(34675, b""), exif, density, plain)


def _plain(description: object) -> str:
    return description if isinstance(description, str) and description.isascii() else ""


def _density(across: float, down: float, sideways: bool = False) -> tuple[float, float] | None:
    """Return the density of the image as it is read; None for one that no file could hold again."""
    if not all(1 <= value <= _DENSEST for value in (across, down)):
        return None
    return (down, across) if sideways else (across, down)
