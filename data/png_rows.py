"""PNG files row by row, so that an image larger than memory can be read and written.

The compression is zlib's; what is left is undoing and applying the filters (PNG specification, 3rd edition, section
9). Undoing them needs, for every pixel, the ones to the left and above: pixels on one diagonal do not need each other,
so a block of rows is computed diagonal by diagonal with all its rows at once.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_KINDS = {channels: kind for kind, channels in _CHANNELS.items()}
_PIECE = 1 << 20  # bytes read at once
_ROWS = 256  # rows computed at once
_LEVEL = 3  # of zlib: photographs become hardly smaller beyond it, and take three times as long


class PngRows:
    """Reads a PNG of 8 or 16 bits without palette or interlacing.

    Attributes:
        chunks: the ancillary chunks before the image by type, such as ``iCCP``.

    Raises:
        ValueError: damaged, or of another kind.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        head = file.read(33)
        if head[:8] != _SIGNATURE or len(head) < 33 or zlib.crc32(head[12:29]) != int.from_bytes(head[29:], "big"):
            raise ValueError("no PNG")
        self.width, self.height, self.depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", head[16:29])
        if kind not in _CHANNELS or self.depth not in (8, 16) or interlaced:
            raise ValueError("a palette, fewer than 8 bits, or interlaced")
        self.channels = _CHANNELS[kind]
        self.chunks: dict[bytes, bytes] = {}
        self._left = self._find_image()

    def _find_image(self) -> int:
        """Read the chunks before the first one of the image; return that one's length."""
        while True:
            length, kind = struct.unpack(">I4s", self._exactly(8))
            if kind == b"IDAT":
                self._checksum = zlib.crc32(kind)
                return length
            content = self._exactly(length)
            if zlib.crc32(kind + content) != int.from_bytes(self._exactly(4), "big"):
                raise ValueError("damaged: a checksum is wrong")
            self.chunks[kind] = content

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield blocks of rows from top to bottom, each h x W x C of uint8 or uint16."""
        pixel = self.channels * self.depth // 8
        above = np.zeros((self.width, pixel), np.uint8)
        pieces, done = self._pieces(), 0
        inflated = _Inflater(pieces, (self.width * pixel + 1) * _ROWS)
        while done < self.height:
            count = min(_ROWS, self.height - done)
            raw = np.frombuffer(inflated.take((self.width * pixel + 1) * count), np.uint8).reshape(count, -1)
            block = unfilter(raw[:, 0], raw[:, 1:].reshape(count, self.width, pixel), above)
            above, done = block[-1].copy(), done + count
            yield block if self.depth == 8 else block.view(">u2").astype(np.uint16)
        for _ in pieces:  # the last checksum stands behind the last row
            pass

    def _pieces(self) -> Iterator[bytes]:
        """Yield the compressed image."""
        while True:
            while self._left:
                piece = self._exactly(min(self._left, _PIECE))
                self._left -= len(piece)
                self._checksum = zlib.crc32(piece, self._checksum)
                yield piece
            if self._checksum != int.from_bytes(self._exactly(4), "big"):
                raise ValueError("damaged: a checksum is wrong")
            self._left, kind = struct.unpack(">I4s", self._exactly(8))
            if kind != b"IDAT":
                return
            self._checksum = zlib.crc32(kind)

    def _exactly(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError("truncated")
        return data


class _Inflater:
    """Hands out a zlib stream in parts of any length."""

    def __init__(self, pieces: Iterator[bytes], step: int) -> None:
        self._pieces, self._step, self._zlib, self._ready = pieces, step, zlib.decompressobj(), bytearray()

    def take(self, count: int) -> bytes:
        while len(self._ready) < count:
            waiting = self._zlib.unconsumed_tail or next(self._pieces, b"")
            if not waiting:
                raise ValueError("truncated")
            self._ready += self._zlib.decompress(waiting, self._step)
        part = bytes(memoryview(self._ready)[:count])
        del self._ready[:count]
        return part


def unfilter(kinds: np.ndarray, rows: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Return the bytes of a block of rows, R x W x bytes per pixel.

    Args:
        kinds: the filter of each row, 0 to 4.
        rows: filtered bytes of the same shape as the result.
        above: the row before the block, W x bytes per pixel.
    """
    if kinds.max(initial=0) > 4:
        raise ValueError("damaged: an unknown filter")
    if np.isin(kinds, (0, 2)).all():
        return _unfilter_up(kinds, rows, above)
    return _unfilter_diagonally(kinds, rows, above)


def _unfilter_up(kinds: np.ndarray, rows: np.ndarray, above: np.ndarray) -> np.ndarray:
    result = rows.copy()
    for row, kind in zip(result, kinds, strict=True):
        if kind == 2:
            row += above
        above = row
    return result


def _unfilter_diagonally(kinds: np.ndarray, rows: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Put pixel x of row r at place [x + r + 2, r + 1]: its neighbours are then in the two places before, aligned."""
    count, width, pixel = rows.shape
    known = np.zeros((width + count + 2, count + 1, pixel), np.int16)
    known[1 : width + 1, 0] = above
    skewed = np.zeros((width + count, count, pixel), np.int16)
    for row in range(count):
        skewed[row : row + width, row] = rows[row]
    kind = kinds[:, None]
    sub, average, up, paeth = (kind == code for code in (1, 3, 2, 4))
    for time in range(width + count - 1):
        low, high = max(0, time - width + 1), min(count, time + 1)
        left, over = known[time + 1, low + 1 : high + 1], known[time + 1, low:high]
        corner = known[time, low:high]
        guess = np.where(sub[low:high], left, 0)
        np.copyto(guess, over, where=up[low:high])
        np.copyto(guess, (left + over) >> 1, where=average[low:high])
        np.copyto(guess, _paeth(left, over, corner), where=paeth[low:high])
        known[time + 2, low + 1 : high + 1] = (skewed[time, low:high] + guess) & 255
    return np.stack([known[row + 2 : row + 2 + width, row + 1] for row in range(count)]).astype(np.uint8)


def _paeth(left: np.ndarray, over: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Return whichever of the three is nearest to left + over - corner; ties go in this order."""
    to_left, to_over = np.abs(over - corner), np.abs(left - corner)
    to_corner = np.abs(left + over - 2 * corner)
    second = np.where(to_over <= to_corner, over, corner)
    return np.where((to_left <= to_over) & (to_left <= to_corner), left, second)


def write_png(
    file: BinaryIO,
    shape: tuple[int, int, int],
    depth: int,
    blocks: Iterable[np.ndarray],
    chunks: Mapping[bytes, bytes] | None = None,
) -> None:
    """Write a PNG from blocks of rows.

    Args:
        shape: height, width and channels (1 to 4).
        depth: 8 or 16 bits.
        blocks: h x W x C of uint8 or uint16, from top to bottom.
        chunks: further chunks, such as ``iCCP``, by type.
    """
    height, width, channels = shape
    file.write(_SIGNATURE)
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, depth, _KINDS[channels], 0, 0, 0))
    for kind, content in (chunks or {}).items():
        _chunk(file, kind, content)
    compressor, above = zlib.compressobj(_LEVEL), np.zeros(width * channels * depth // 8, np.uint8)
    for block in blocks:
        rows = block.astype(">u2", order="C").view(np.uint8) if depth == 16 else block
        rows = np.ascontiguousarray(rows).reshape(len(block), len(above))
        filtered = np.full((len(rows), rows.shape[1] + 1), 2, np.uint8)  # the difference to the row above
        np.subtract(rows, np.concatenate([above[None], rows[:-1]]), out=filtered[:, 1:])
        above = rows[-1].copy() if len(rows) else above
        if data := compressor.compress(filtered.data):
            _chunk(file, b"IDAT", data)
    _chunk(file, b"IDAT", compressor.flush())
    _chunk(file, b"IEND", b"")


def _chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + kind)
    file.write(content)
    file.write(zlib.crc32(content, zlib.crc32(kind)).to_bytes(4, "big"))
