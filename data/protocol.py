"""What a data set of small and large images says of itself: how it is measured, and what its values are."""

from __future__ import annotations

from dataclasses import dataclass

WIDTHS = ("narrow", "medium", "wide")  # classes of holes


@dataclass(frozen=True)
class Protocol:
    """What ``evaluation`` measures by, and a run remembers of its files.

    Args:
        scale: how many times larger than inputs targets are; as many pixels are cut from each side.
        shrunken: whether inputs are nothing but the targets, shrunken by ``data.bicubic``.
        luma: whether images are Y of BT.601 of files that may have colours.
    """

    scale: int
    shrunken: bool
    luma: bool = False


@dataclass(frozen=True)
class Holes:
    """Images with holes: the last channel of "A" is 1 in the hole and -1 elsewhere, and is measured apart."""


@dataclass(frozen=True)
class Labels:
    """Classes of whole images: the target is an image of the class's value."""
