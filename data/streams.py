"""Images in parts: files larger than memory -> blocks of pixels, and blocks of pixels -> files.

PNG is read by rows, TIFF by its strips or tiles, npy by rows. Other formats, and PNG with a palette or turned by EXIF,
are decoded whole and then handed out in parts.
"""

from __future__ import annotations

import contextlib
import pathlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from data.exif import SOFTWARE, append, parts_of, tags_of
from data.metadata import INCH, TIFF, Metadata
from data.png_rows import PngRows, write_png
from data.readers import read_image
from data.writers import write_image
from util.errors import UserError
from util.files import atomic_file

_ROWS = 256
_TILE = 256  # pixels; side of the tiles of TIFFs that are written
_LARGE_TIFF = 4 * 10**9  # bytes; more needs 64-bit offsets


class Block(NamedTuple):
    """A part of an image: its place, and its values, h x w x C."""

    top: int
    left: int
    values: np.ndarray


def read_blocks(path: pathlib.Path) -> Iterator[Block]:
    """Yield all of an image in parts, in the depth and with the channels that ``read_image`` gives.

    Raises:
        UserError: as ``read_image``, also in the middle of a damaged file.
    """
    opened = _streamed(path)
    if opened is None:
        yield from _in_rows(read_image(path))
        return
    try:
        yield from opened
    except (UserError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on hostile bytes
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path}: not a readable image ({reason}); delete it or copy it again") from None


def _streamed(path: pathlib.Path) -> Iterator[Block] | None:
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if head[:4] == b"\x89PNG":
                file.seek(0)
                return None if b"eXIf" in PngRows(file).chunks else _png_blocks(path)
    except (OSError, ValueError):
        return None
    if head[:4] in TIFF:
        return _tiff_blocks(path) if _is_plain_tiff(path) else None
    if head[:6] == b"\x93NUMPY":
        return _npy_blocks(path)
    return None


def _in_rows(image: np.ndarray) -> Iterator[Block]:
    for top in range(0, len(image), _ROWS):
        yield Block(top, 0, image[top : top + _ROWS])


def _png_blocks(path: pathlib.Path) -> Iterator[Block]:
    with path.open("rb") as file:
        top = 0
        for rows in PngRows(file):
            yield Block(top, 0, rows)
            top += len(rows)


def _is_plain_tiff(path: pathlib.Path) -> bool:
    """Return whether a TIFF is one page of grey or colour, as it stands."""
    import tifffile

    with contextlib.suppress(Exception), tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        turned = 274 in page.tags and page.tags[274].value != 1
        kinds = ("uint8", "uint16", "float32")
        plain = page.photometric in (1, 2) and page.imagedepth == 1 and np.dtype(page.dtype).name in kinds
        return len(tiff.pages) == 1 and plain and not turned and page.bitspersample != 1
    return False


def _tiff_blocks(path: pathlib.Path) -> Iterator[Block]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if page.is_memmappable and (page.planarconfig == 1 or page.samplesperpixel == 1):
            yield from _uncompressed(path, page)
            return
        for values, (sample, _, top, left, _), _ in page.segments(maxworkers=1):
            if values is None:
                raise ValueError("a part is missing")
            yield from _segment(page, sample, top, left, values[0])


def _segment(page: Any, sample: int, top: int, left: int, values: np.ndarray) -> Iterator[Block]:
    """Yield one strip or tile, cut at the image's border; planes stored apart would have to be joined."""
    if sample or values.shape[2] != page.samplesperpixel:
        raise ValueError("its colours are stored in separate planes; save it interleaved")
    yield Block(top, left, values[: page.imagelength - top, : page.imagewidth - left])


def _uncompressed(path: pathlib.Path, page: Any) -> Iterator[Block]:
    """Yield rows of pixels that lie in the file one after the other."""
    dtype = np.dtype(page.parent.byteorder + page.dtype.char)
    width, channels = page.imagewidth, page.samplesperpixel
    with path.open("rb") as file:
        file.seek(page.dataoffsets[0])
        for top in range(0, page.imagelength, _ROWS):
            count = min(_ROWS, page.imagelength - top)
            values = np.fromfile(file, dtype, count * width * channels)
            rows = values.reshape(count, width, channels).astype(dtype.newbyteorder("="), copy=False)
            yield Block(top, 0, rows)


def _npy_blocks(path: pathlib.Path) -> Iterator[Block]:
    image = np.load(path, mmap_mode="r", allow_pickle=False)
    for top in range(0, len(image), _ROWS):
        rows = np.array(image[top : top + _ROWS])
        yield Block(top, 0, rows[..., None] if rows.ndim == 2 else rows)


def write_blocks(
    path: pathlib.Path,
    shape: tuple[int, int, int],
    dtype: str,
    blocks: Iterable[np.ndarray],
    metadata: Metadata | None = None,
) -> None:
    """Write an image from blocks of rows, by its suffix; the file is whole or not there.

    Args:
        shape: height, width and channels.
        dtype: uint8, uint16 or float32.
        blocks: h x W x C, from top to bottom.

    Raises:
        UserError: the suffix names a format that cannot hold this.
    """
    suffix, metadata = path.suffix.lower(), (metadata or Metadata()).of_channels(shape[2])
    if suffix == ".png" and dtype != "float32" and shape[2] <= 4:
        with atomic_file(path, durable=False) as file:
            write_png(file, shape, 8 * np.dtype(dtype).itemsize, blocks, _png_chunks(metadata))
    elif suffix in (".tif", ".tiff"):
        with atomic_file(path, durable=False) as file:
            _write_tiff(file, shape, dtype, blocks, metadata)
    elif suffix in (".jpg", ".jpeg", ".webp") and dtype == "uint8":
        with atomic_file(path, durable=False) as file:
            _write_photo(file, suffix, np.concatenate(list(blocks)), metadata)
    else:
        write_image(path, np.concatenate(list(blocks)))


def _png_chunks(metadata: Metadata) -> dict[bytes, bytes]:
    chunks = {b"iCCP": b"ICC profile\0\0" + zlib.compress(metadata.icc)} if metadata.icc else {}
    if metadata.density:
        chunks[b"pHYs"] = struct.pack(">IIB", *map(round, metadata.density), 1)
    return chunks | ({b"eXIf": metadata.exif.removeprefix(b"Exif\0\0")} if metadata.exif else {})


def _write_tiff(
    file: BinaryIO, shape: tuple[int, int, int], dtype: str, blocks: Iterable[np.ndarray], metadata: Metadata
) -> None:
    import tifffile

    grey, density = shape[2] == 1, metadata.density
    large = int(np.prod(shape)) * np.dtype(dtype).itemsize > _LARGE_TIFF
    texts, directories = parts_of(metadata.exif)
    with tifffile.TiffWriter(cast(BinaryIO, _Nameless(file)), bigtiff=large, byteorder="<") as writer:
        writer.write(
            _tiff_tiles(_rows_of(blocks, _TILE), grey),
            shape=shape[:2] if grey else shape,
            dtype=dtype,
            tile=(_TILE, _TILE),
            photometric="rgb" if shape[2] in (3, 4) else "minisblack",
            planarconfig=None if grey else "contig",
            compression="zlib",
            compressionargs={"level": 3},
            maxworkers=1,
            metadata=None,
            iccprofile=metadata.icc or None,
            description=metadata.description or None,
            resolution=(density[0] / 100, density[1] / 100) if density else None,
            resolutionunit="CENTIMETER" if density else None,
            software=texts.get(SOFTWARE),
            extratags=tags_of(texts),
        )
    append(file, directories, large=large)


class _Nameless:
    """A file as tifffile takes it: the name of one opened by number would be a number."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "name":
            raise AttributeError(attribute)
        return getattr(self._file, attribute)


def _tiff_tiles(bands: Iterable[np.ndarray], grey: bool) -> Iterator[np.ndarray]:
    for band in bands:
        for left in range(0, band.shape[1], _TILE):
            part = band[:, left : left + _TILE]
            padded = np.zeros((_TILE, _TILE, band.shape[2]), band.dtype)
            padded[: part.shape[0], : part.shape[1]] = part
            yield padded[..., 0] if grey else padded


def _rows_of(blocks: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Yield the same rows in blocks of ``count``, the last maybe shorter."""
    held: list[np.ndarray] = []
    have = 0
    for block in blocks:
        while len(block):
            part, block = block[: count - have], block[count - have :]
            held, have = [*held, part], have + len(part)
            if have == count:
                yield np.concatenate(held)
                held, have = [], 0
    if held:
        yield np.concatenate(held)


def _write_photo(file: BinaryIO, suffix: str, image: np.ndarray, metadata: Metadata) -> None:
    from PIL import Image

    if image.shape[2] not in (1, 3):
        raise UserError(f"{suffix} cannot hold {image.shape[2]} channels; use .tif")
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    kept: dict[str, Any] = {"icc_profile": metadata.icc or None, "exif": metadata.exif}
    if suffix == ".webp":
        picture.save(file, "WEBP", lossless=True, **kept)
    else:
        if metadata.density:
            kept["dpi"] = tuple(value * INCH for value in metadata.density)
        picture.save(file, "JPEG", quality=95, subsampling=0, **kept)
