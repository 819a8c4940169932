"""Do the two images of a pair lie on each other? Phase correlation of their edges (Kuglin and Hines 1975).

Edges are what two kinds of image of one object share. One pair of different kinds correlates weakly, so the spectra of
all pairs are summed: a shift common to them all stands out although no single pair shows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_SIDE = 512  # pixels a side that are compared, from the middle
_LEAST = 16
_CLEAR = 12.0  # standard deviations of the correlation; of chance alone the highest of 512 x 512 is about 5


@dataclass(frozen=True)
class Shift:
    """How far B lies below (``down``) and to the right (``right``) of A, in pixels; ``pairs`` were compared.

    ``clarity`` is the height of the peak in standard deviations; none of it is to be believed unless ``clear``.
    """

    down: int
    right: int
    clarity: float
    pairs: int = 1

    @property
    def clear(self) -> bool:
        """Whether the peak cannot be chance."""
        return self.clarity >= _CLEAR

    @property
    def distance(self) -> float:
        """Return the length of the shift in pixels."""
        return float(np.hypot(self.down, self.right))

    def __str__(self) -> str:
        across = f"{abs(self.right)} px {'right' if self.right >= 0 else 'left'}"
        return f"{across} and {abs(self.down)} px {'down' if self.down >= 0 else 'up'}"


def shift_of(a: np.ndarray, b: np.ndarray) -> Shift | None:
    """Return the shift of one pair of equal size, H x W x C each; None for images too small or without edges."""
    spectrum = _cross_spectrum(a, b)
    return None if spectrum is None else _peak(spectrum, 1)


def common_shift(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Shift | None:
    """Return the shift that most pairs share, judged over those of the commonest size; None where there are none."""
    sums: dict[tuple[int, ...], tuple[np.ndarray, int]] = {}
    for a, b in pairs:
        spectrum = _cross_spectrum(a, b)
        if spectrum is not None:
            total, count = sums.get(spectrum.shape, (np.zeros_like(spectrum), 0))
            sums[spectrum.shape] = total + spectrum, count + 1
    if not sums:
        return None
    total, count = max(sums.values(), key=lambda entry: entry[1])
    return _peak(total, count)


def _cross_spectrum(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    if a.shape[:2] != b.shape[:2] or min(a.shape[:2]) < _LEAST:
        return None
    first, second = (np.fft.rfft2(_edges(image)) for image in (a, b))
    product = np.conj(first) * second
    size = np.abs(product)
    return None if not size.max() > 0 else product / np.maximum(size, 1e-12 * size.max())


def _edges(image: np.ndarray) -> np.ndarray:
    """Return the strength of edges (h,w), both even, in the middle of the image, fading to nothing at its border."""
    height, width = (min(side - side % 2, _SIDE) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    part = image[top : top + height, left : left + width].mean(axis=2, dtype=np.float64)
    known = np.isfinite(part)
    down, right = np.gradient(np.where(known, part, np.median(part[known]) if known.any() else 0.0))
    strength = np.hypot(down, right)
    return (strength - strength.mean()) * np.outer(np.hanning(height), np.hanning(width))


def _peak(spectrum: np.ndarray, pairs: int) -> Shift:
    rows, columns = spectrum.shape[0], 2 * (spectrum.shape[1] - 1)
    smooth = np.exp(-2 * (np.pi**2) * (np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.rfftfreq(columns)[None] ** 2))
    found = np.fft.irfft2(spectrum * smooth, s=(rows, columns))
    down, right = np.unravel_index(int(found.argmax()), found.shape)
    clarity = float((found.max() - found.mean()) / max(float(found.std()), 1e-300))
    signed = [int(at - size if at > size // 2 else at) for at, size in ((down, rows), (right, columns))]
    return Shift(signed[0], signed[1], clarity, pairs)
