"""TIFF files as images: planes, pages and samples become channels; any number type, either byte order."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from data.limits import check_pixels
from data.orientation import TAG, is_transposed, upright

Decoder = Callable[[pathlib.Path, bytes], np.ndarray]
_PALETTE, _CMYK, _LAB = 3, 5, (8, 9, 10)


def read_tiff(path: pathlib.Path, data: bytes, otherwise: Decoder) -> np.ndarray:
    """Return H x W x C of a TIFF file's bytes, the right way up.

    Pages of equal size are channels, page by page; of pages of several sizes (a pyramid, a thumbnail) the first count.

    Args:
        otherwise: decodes what holds no plain values: palettes, CMYK, Lab, single bits.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page, series = tiff.pages.first, tiff.series[0]
        height, width = page.imagelength, page.imagewidth
        check_pixels(path, height, width, series.size // max(1, height * width))
        if page.photometric in (_PALETTE, _CMYK, *_LAB) or page.bitspersample == 1:
            return otherwise(path, data)
        image = channels_last(series.asarray(), series.axes)
    if page.photometric == 0 and image.dtype.kind == "u":  # white is 0
        image = np.iinfo(image.dtype).max - image
    return upright(image, _orientation(page))


def tiff_header(path: pathlib.Path) -> tuple[int, int, int, str] | None:
    """Return height, width, channels and dtype of a TIFF of one plain page, None where only decoding tells."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page, pages = tiff.pages.first, len(tiff.pages)
            plain = pages == 1 and page.photometric in (0, 1, 2) and page.imagedepth == 1
            dtype = np.dtype(page.dtype or "V").name
            size = (page.imagelength, page.imagewidth)
            channels, depth = page.samplesperpixel, page.bitspersample
            height, width = size[::-1] if is_transposed(_orientation(page)) else size
    except Exception:  # parsers raise anything on hostile bytes; decoding then says what is wrong
        return None
    if not plain or depth == 1 or dtype not in ("uint8", "uint16", "float32"):
        return None
    check_pixels(path, height, width, channels)
    return height, width, channels, dtype


def _orientation(page: Any) -> int:
    return int(page.tags[TAG].value) if TAG in page.tags else 1


def channels_last(image: np.ndarray, axes: str) -> np.ndarray:
    """Return H x W x C; the axes that are neither Y nor X (pages, planes, samples) become channels, in their order."""
    others = [index for index, axis in enumerate(axes) if axis not in "YX"]
    rows, columns = (axes.index(axis) for axis in "YX")
    moved = image.transpose(rows, columns, *others)
    return moved.reshape(*moved.shape[:2], -1)
