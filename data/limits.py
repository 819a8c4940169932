"""How large an image may be: a small file can claim, or unpack to, more than the memory holds."""

from __future__ import annotations

import os
import pathlib

from util.errors import UserError

DEFAULT_LIMIT = 1 << 28  # pixels; 268 million, 0.8 GB as 8-bit RGB
FORMATS = ("BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may decode. It knows more, and hands some of it (EPS, under any file name) to other programs."""


def pixel_limit() -> int:
    """Return the largest number of pixels that is read: A2B_MAX_PIXELS of the environment, else 268 million."""
    text = os.environ.get("A2B_MAX_PIXELS", str(DEFAULT_LIMIT))
    if not text.isdecimal():
        raise UserError(f"A2B_MAX_PIXELS={text}: must be a whole number of pixels, such as {DEFAULT_LIMIT}")
    return int(text)


def check_pixels(path: pathlib.Path, height: int, width: int, channels: int = 1) -> None:
    """Refuse an image by what its header says, before a pixel of it is decoded.

    Raises:
        UserError: nothing, or more than the limit; 4 channels count as much as one, 8 as two.
    """
    if height < 1 or width < 1:
        raise UserError(f"{path}: the header says {width}x{height} pixels; delete it or copy it again")
    if height * width * max(1, channels // 4) > pixel_limit():
        raise UserError(
            f"{path}: {width}x{height}x{channels} is more than {pixel_limit()} pixels; cut it into tiles, or raise the "
            "limit with A2B_MAX_PIXELS=N"
        )
