"""Rectangles of an image and the grid of tiles over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of an image, ends excluded, in pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.right - self.left

    def grown(self, margin: int, image: Box) -> Box:
        """Return the box with a margin, cut at the borders of the image: there the network's own padding applies."""
        top, left = max(image.top, self.top - margin), max(image.left, self.left - margin)
        return Box(top, left, min(image.bottom, self.bottom + margin), min(image.right, self.right + margin))

    def within(self, other: Box) -> Box:
        """Return the box in the coordinates of one that holds it."""
        return self.moved(-other.top, -other.left)

    def moved(self, down: int, right: int) -> Box:
        """Return the box at another place."""
        return Box(self.top + down, self.left + right, self.bottom + down, self.right + right)

    def scaled(self, factor: Fraction | int) -> Box:
        """Return the box in an image of another resolution; ValueError where it falls between pixels."""
        exact = [Fraction(side) * factor for side in self]
        if any(side.denominator != 1 for side in exact):
            raise ValueError(f"{self} times {factor} is no box of whole pixels")
        return Box(*map(int, exact))


def grid(image: Box, tile: int) -> list[Box]:
    """Return the tiles that cover an image, row by row; those at the right and lower border may be smaller."""
    rows = range(image.top, image.bottom, tile)
    columns = range(image.left, image.right, tile)
    return [Box(y, x, min(y + tile, image.bottom), min(x + tile, image.right)) for y in rows for x in columns]


def alike(boxes: Iterable[Box], region: Callable[[Box], Box], most: int) -> Iterator[list[Box]]:
    """Yield runs of at most ``most`` boxes whose regions have the same size, to be computed in one batch."""
    run: list[Box] = []
    for box in boxes:
        if run and (len(run) == most or _size(region(run[0])) != _size(region(box))):
            yield run
            run = []
        run.append(box)
    if run:
        yield run


def _size(box: Box) -> tuple[int, int]:
    return box.height, box.width
