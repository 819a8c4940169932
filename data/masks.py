"""Holes drawn at random: strokes, boxes, blobs, borders and lines, each narrow, medium or wide.

Sizes are shares of the image's smaller side, so that a mask looks the same at every resolution; strokes and boxes are
about those of LaMa (Suvorov et al. 2022, arXiv:2109.07161). A mask is (H,W) bool, True in the hole, and a pure function
of the generator it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from data.protocol import WIDTHS
from util.errors import UserError, did_you_mean

Size = tuple[int, int]
Random = np.random.Generator
_TRIES = 20
_LEAST, _MOST = 0.002, 0.7  # share of the image that a hole covers


class Range(NamedTuple):
    """The ends of what is drawn from, both inclusive."""

    low: float
    high: float

    def draw(self, random: Random) -> float:
        """Return a number between the ends."""
        return float(random.uniform(self.low, self.high))

    def count(self, random: Random) -> int:
        """Return a whole number between the ends."""
        return int(random.integers(int(self.low), int(self.high) + 1))


class Brush(NamedTuple):
    """How many strokes, and the widths and lengths of their parts in shares of the image's smaller side."""

    strokes: Range
    width: Range
    length: Range


_BRUSHES = {
    "narrow": Brush(Range(4, 14), Range(0.015, 0.04), Range(0.04, 0.2)),
    "medium": Brush(Range(3, 5), Range(0.06, 0.17), Range(0.04, 0.43)),
    "wide": Brush(Range(1, 4), Range(0.2, 0.41), Range(0.04, 0.82)),
}
_PARTS = Range(1, 5)  # of a stroke
_BOXES = {
    "narrow": (Range(4, 20), Range(0.02, 0.06)),
    "medium": (Range(1, 5), Range(0.06, 0.2)),
    "wide": (Range(1, 3), Range(0.28, 0.59)),
}
_BLOBS = {"narrow": 40, "medium": 12, "wide": 4}  # waves across the image
_BLOB_SHARE = Range(0.1, 0.35)
_BORDERS = {"narrow": Range(0.015, 0.034), "medium": Range(0.05, 0.1), "wide": Range(0.15, 0.25)}
_LINES = {
    "narrow": (Range(4, 14), Range(0.004, 0.02)),
    "medium": (Range(3, 6), Range(0.06, 0.1)),
    "wide": (Range(1, 3), Range(0.2, 0.35)),
}


def strokes(size: Size, width: str, random: Random) -> np.ndarray:
    """Return free-form strokes of a round brush, each a few straight parts that turn at random."""
    brush, side, canvas = _BRUSHES[width], min(size), _blank(size)
    for _ in range(brush.strokes.count(random)):
        at = random.uniform((0, 0), size)
        angle = random.uniform(0, 2 * math.pi)
        for _ in range(_PARTS.count(random)):
            angle += random.uniform(-0.6, 0.6) * math.pi
            step = brush.length.draw(random) * side * np.array([math.sin(angle), math.cos(angle)])
            end = np.clip(at + step, 0, np.array(size) - 1)
            _line(canvas, at, end, brush.width.draw(random) * side)
            at = end
    return canvas > 0


def boxes(size: Size, width: str, random: Random) -> np.ndarray:
    """Return upright rectangles that may overlap."""
    hole = np.zeros(size, bool)
    number, extent = _BOXES[width]
    for _ in range(number.count(random)):
        box = [max(1, min(whole - 1, round(extent.draw(random) * min(size)))) for whole in size]
        top, left = (int(random.integers(0, whole - part + 1)) for whole, part in zip(size, box, strict=True))
        hole[top : top + box[0], left : left + box[1]] = True
    return hole


def blobs(size: Size, width: str, random: Random) -> np.ndarray:
    """Return the highest parts of a smooth random landscape."""
    waves = _BLOBS[width]
    coarse = random.standard_normal([max(2, round(waves * part / min(size))) for part in size]).astype(np.float32)
    smooth = cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return smooth > np.quantile(smooth, 1 - _BLOB_SHARE.draw(random))


def border(size: Size, width: str, random: Random) -> np.ndarray:
    """Return one to four margins of the image, to be painted outwards."""
    hole = np.zeros(size, bool)
    sides = random.random(4) < 0.5
    sides[int(random.integers(4))] = True
    depths = [max(1, round(_BORDERS[width].draw(random) * min(size))) for _ in range(4)]
    for quarter, (wanted, depth) in enumerate(zip(sides, depths, strict=True)):
        np.rot90(hole, quarter)[: depth if wanted else 0] = True
    return hole


def lines(size: Size, width: str, random: Random) -> np.ndarray:
    """Return straight lines from one border of the image to another, as wires, scratches or missing rows leave them."""
    canvas = _blank(size)
    number, thickness = _LINES[width]
    for _ in range(number.count(random)):
        through = random.uniform((0, 0), size)
        angle = random.uniform(0, math.pi)
        reach = sum(size) * np.array([math.sin(angle), math.cos(angle)])
        _line(canvas, through - reach, through + reach, thickness.draw(random) * min(size))
    return canvas > 0


KINDS: dict[str, Callable[[Size, str, Random], np.ndarray]] = {
    "strokes": strokes,
    "boxes": boxes,
    "blobs": blobs,
    "border": border,
    "lines": lines,
}


class Mixture(NamedTuple):
    """Which kinds of holes with which shares, and how wide; "mixed" draws one of the three widths."""

    kinds: tuple[str, ...]
    shares: tuple[float, ...]
    width: str = "mixed"

    def draw(self, size: Size, random: Random) -> np.ndarray:
        """Return a hole (H,W) that leaves something to see and something to fill; a box in the middle at the worst."""
        for _ in range(_TRIES):
            kind = KINDS[self.kinds[int(random.choice(len(self.kinds), p=self.shares))]]
            width = self.width if self.width in WIDTHS else WIDTHS[int(random.integers(len(WIDTHS)))]
            hole = kind(size, width, random)
            if _LEAST <= hole.mean() <= _MOST:
                return hole
        return _middle(size)


def parse_mixture(words: Sequence[str], width: str) -> Mixture:
    """Return the mixture of words such as ``strokes:2``; UserError naming what is none."""
    pairs = [_kind_and_share(word) for word in words]
    total = sum(share for _, share in pairs)
    if not total:
        raise UserError(f"--mask_kinds {','.join(words)}: give at least one kind a share above 0, such as strokes:1")
    return Mixture(tuple(kind for kind, _ in pairs), tuple(share / total for _, share in pairs), width)


def _kind_and_share(word: str) -> tuple[str, float]:
    kind, colon, share = word.partition(":")
    if kind not in KINDS:
        choices = ", ".join(KINDS)
        raise UserError(f"--mask_kinds {word}: no such kind{did_you_mean(kind, KINDS)} (choose from {choices})")
    try:
        value = float(share) if colon else 1.0
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise UserError(f"--mask_kinds {word}: write a kind and its share as {kind}:2")
    return kind, value


def width_class(hole: np.ndarray) -> str:
    """Return whether a hole (H,W) is narrow, medium or wide, however it came about.

    That is how far its innermost pixel is from a known one, as a share of the image's smaller side: below 5 %, below
    14 %, or more.
    """
    if hole.all():
        return "wide"
    depth = float(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5).max()) / min(hole.shape)
    return "narrow" if depth < 0.05 else "medium" if depth < 0.14 else "wide"


def _middle(size: Size) -> np.ndarray:
    hole = np.zeros(size, bool)
    top, left = size[0] // 3, size[1] // 3
    hole[top : max(top + 1, 2 * size[0] // 3), left : max(left + 1, 2 * size[1] // 3)] = True
    return hole


def _blank(size: Size) -> np.ndarray:
    return np.zeros(size, np.uint8)


def _line(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, width: float) -> None:
    """Draw a line with round ends from (y, x) to (y, x)."""
    points = [(round(float(x)), round(float(y))) for y, x in (start, end)]
    cv2.line(canvas, points[0], points[1], 1, max(1, round(width)))
