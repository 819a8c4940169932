"""Which images look alike although their bytes differ: a perceptual hash, and the search for near ones.

The hash is the sign pattern of the lowest frequencies of a cosine transform of a small grey version (Zauner 2010); it
hardly changes with compression, resizing, brightness and contrast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

_SMALL, _KEPT = 64, 16  # pixels a side of the small version, frequencies a side of the hash
_BLOCK = 512  # images compared at once with all others
MOST_BITS = 20  # of 256 may differ in what still counts as the same picture


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Return 256 bits as (4,) uint64 of H x W x C values; zeros for an image without any structure."""
    import cv2

    grey = np.nan_to_num(image.mean(axis=2, dtype=np.float64), posinf=0.0, neginf=0.0)
    small = cv2.resize(grey, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small - small.mean())[:_KEPT, :_KEPT].ravel()
    if np.abs(low).max() < 1e-9 * max(1e-300, np.abs(grey).max()):
        return np.zeros(4, np.uint64)
    return np.packbits(low > np.median(low)).view(np.uint64)


def near_pairs(hashes: Sequence[np.ndarray], most_bits: int = MOST_BITS) -> Iterator[tuple[int, int, int]]:
    """Yield (i, j, bits that differ) of all i < j that are near; images without structure are near to none."""
    table = np.array(hashes, np.uint64).reshape(-1, 4)
    structured = np.asarray(table.any(axis=1))
    for begin in range(0, len(table), _BLOCK):
        block = table[begin : begin + _BLOCK]
        bits = np.zeros((len(block), len(table)), np.uint16)
        for word in range(table.shape[1]):
            bits += np.bitwise_count(block[:, None, word] ^ table[None, :, word])
        bits[~structured[begin : begin + _BLOCK]] = bits[:, ~structured] = most_bits + 1
        for row, column in np.argwhere(bits <= most_bits):
            if begin + row < column:
                yield begin + int(row), int(column), int(bits[row, column])
