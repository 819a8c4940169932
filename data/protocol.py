"""How results on a data set are measured, where that is not pixel by pixel over the whole image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """What a data set says of its measurement; ``evaluation`` does it.

    Args:
        scale: how many times larger than inputs targets are; as many pixels are cut from each side.
        shrunken: whether inputs are nothing but the targets, shrunken by ``data.bicubic``.
    """

    scale: int
    shrunken: bool
