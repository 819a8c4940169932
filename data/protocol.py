"""How results on a data set are measured, where that is not pixel by pixel over the whole image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """What a data set says of its measurement; ``evaluation`` does it.

    Args:
        border: pixels that are cut from each side before PSNR and SSIM are taken.
        luma: whether images are the Y channel already.
        shrunken: whether inputs are nothing but the targets, shrunken by ``data.bicubic``.
    """

    border: int
    luma: bool
    shrunken: bool
