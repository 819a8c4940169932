"""Arrays -> image files, losslessly, and 8-bit previews for pages."""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from util.errors import UserError
from util.files import atomic_file

if TYPE_CHECKING:
    from torch import Tensor

    from data.value_range import ValueRange


Channels = TypeVar("Channels", np.ndarray, "Tensor")
DTYPES = ("uint8", "uint16", "float32")


@dataclass(frozen=True)
class FileFormat:
    """How outputs of one side are stored: its files' dtype and channels, under a lossless suffix."""

    dtype: str
    channels: int

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES or not isinstance(self.channels, int) or self.channels < 1:
            raise ValueError(f"files of {self.channels} channels in {self.dtype}: give one of {', '.join(DTYPES)}")

    @property
    def suffix(self) -> str:
        """Return .png where PNG can hold the values, else .tif."""
        return ".png" if self.dtype in ("uint8", "uint16") and self.channels in (1, 3, 4) else ".tif"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a saved run."""
        return asdict(self)


def as_hwc(array: np.ndarray) -> np.ndarray:
    """Return H x W x C of an H x W or H x W x C array."""
    return array[..., None] if array.ndim == 2 else array


def write_image(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write H x W or H x W x C uint8, uint16 or float32 without loss; the file is whole or not there.

    Raises:
        UserError: the suffix names a lossy or unknown format, or one that cannot hold this dtype and channels.
    """
    path, image = pathlib.Path(path), as_hwc(np.asarray(array))
    encode = _ENCODERS.get(path.suffix.lower())
    if encode is None:
        raise UserError(f"{path}: cannot write {path.suffix or 'without a suffix'} losslessly; use .png or .tif")
    if image.dtype.name not in DTYPES:
        raise ValueError(f"{path}: cannot write {image.dtype}; round it with data.value_range.as_dtype first")
    content = encode(path, np.ascontiguousarray(image))
    with atomic_file(path, durable=False) as file:
        file.write(content)


def _png(path: pathlib.Path, image: np.ndarray) -> bytes:
    import cv2

    if image.dtype == np.float32 or image.shape[2] not in (1, 3, 4):
        raise UserError(f"{path}: PNG cannot hold {image.shape[2]} channels of {image.dtype}; use .tif")
    orders = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    ordered = cv2.cvtColor(image, orders[image.shape[2]]) if image.shape[2] in orders else image
    done, content = cv2.imencode(".png", ordered)
    if not done:
        raise OSError(f"{path}: could not be encoded")
    return content.tobytes()


def _tiff(path: pathlib.Path, image: np.ndarray) -> bytes:
    import tifffile

    buffer = io.BytesIO()
    rgb = image.shape[2] in (3, 4)
    plane = image[..., 0] if image.shape[2] == 1 else image
    photometric = "rgb" if rgb else "minisblack"
    planar = None if plane.ndim == 2 else "contig"
    tifffile.imwrite(buffer, plane, photometric=photometric, planarconfig=planar, compression="zlib", metadata=None)
    return buffer.getvalue()


def _pillow(path: pathlib.Path, image: np.ndarray) -> bytes:
    from PIL import Image

    if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
        raise UserError(f"{path}: {path.suffix} cannot hold {image.shape[2]} channels of {image.dtype}; use .tif")
    buffer = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.save(buffer, format=path.suffix[1:], **({"lossless": True} if path.suffix.lower() == ".webp" else {}))
    return buffer.getvalue()


def _npy(path: pathlib.Path, image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, image)
    return buffer.getvalue()


def _npz(path: pathlib.Path, image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, image=image)
    return buffer.getvalue()


_ENCODERS = {
    **{".png": _png, ".tif": _tiff, ".tiff": _tiff, ".bmp": _pillow, ".webp": _pillow, ".npy": _npy, ".npz": _npz}
}


def parse_bands(words: Sequence[str], channels: int) -> tuple[int, ...]:
    """Return which channels, from 0, ``--preview_bands`` names; UserError unless one or three that there are.

    Args:
        channels: of the input or the output, whichever has more.
    """
    there = all(word.isdecimal() and 1 <= int(word) <= channels for word in words)
    if words and (len(words) not in (1, 3) or not there):
        raise UserError(f"--preview_bands {','.join(words)}: one or three channels, from 1 to {channels}")
    return tuple(int(word) - 1 for word in words)


def shown_channels(image: Channels, bands: tuple[int, ...], axis: int) -> Channels:
    """Return the channels of an array or tensor that pages show: ``bands`` where it has them all, else the first."""
    count = image.shape[axis]
    chosen = bands if bands and count > max(bands) else range(min(count, 3))
    return image[(slice(None),) * axis + (list(chosen),)]


def preview(array: np.ndarray, value_range: ValueRange | None = None, bands: tuple[int, ...] = ()) -> np.ndarray:
    """Return a uint8 H x W x 3 picture for a page: the range's low is black, its high white, non-finite black.

    Args:
        array: H x W or H x W x C of any dtype; one channel is shown grey, two as red and green, more by the
            first three.
        bands: one or three channels to show in place of the first, where the array has them.
        value_range: values of the data; left out, 0..255 for uint8 and else the array's own extremes.
    """
    image = as_hwc(np.asarray(array))
    low, high = (value_range.low, value_range.high) if value_range else _extremes(image)
    scaled = (shown_channels(image, bands, 2).astype(np.float64) - low) * (255.0 / ((high - low) or 1.0))
    levels = np.clip(np.rint(np.nan_to_num(scaled, nan=0.0)), 0, 255).astype(np.uint8)
    if levels.shape[2] == 1:
        return np.repeat(levels, 3, axis=2)
    return np.pad(levels, ((0, 0), (0, 0), (0, 3 - levels.shape[2])))


def _extremes(image: np.ndarray) -> tuple[float, float]:
    if image.dtype == np.uint8:
        return 0.0, 255.0
    finite = image[np.isfinite(image)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
