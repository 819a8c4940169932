"""Holes from files: masks that belong to images by name, or that are drawn from a folder, and damage of one colour."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from data.listing import by_stem, images_in, relative_stem
from data.readers import read_image
from data.streams import Block, read_blocks
from data.transforms import Size
from util.errors import BadFile, UserError

_ENDINGS = ("", "_mask", "-mask", "_mask001")  # what tools put behind an image's name to name its mask


def read_mask(path: pathlib.Path, *, invert: bool = False) -> np.ndarray:
    """Return the hole (H,W) bool of a mask file: white, so more than half of its depth, or of its alpha, is the hole.

    Colours count by their brightest channel. Masks whose values are only 0 and 1 count 1 as white.
    """
    bright = _brightness(read_image(path))
    hole = bright > _half(bright.dtype, bright.max())
    return ~hole if invert else hole


def mask_blocks(path: pathlib.Path, *, invert: bool = False) -> Iterator[Block]:
    """Yield the parts of what :func:`read_mask` returns, each (h,w,1) bool, of a mask that is larger than memory."""
    brightest = max(_brightness(block.values).max() for block in read_blocks(path))
    for top, left, values in read_blocks(path):
        bright = _brightness(values)[..., None]
        yield Block(top, left, (bright > _half(bright.dtype, brightest)) != invert)


def _brightness(image: np.ndarray) -> np.ndarray:
    values = image[..., : image.shape[2] - (image.shape[2] in (2, 4))] if image.shape[2] > 1 else image
    return np.asarray(values.max(axis=2))


def _half(dtype: np.dtype, brightest: float) -> float:
    """Return the value above which a mask's pixels are white."""
    return 0.5 if dtype.kind == "f" or brightest <= 1 else float(np.iinfo(dtype).max) / 2


def resized_hole(hole: np.ndarray, size: Size, *, touched: bool = False) -> np.ndarray:
    """Return a hole (H,W) bool in another size.

    Args:
        touched: whether a pixel counts as soon as resizing an image alike would mix some of the hole into it, as
            colours need; else when half of it is in the hole.
    """
    if hole.shape == size:
        return hole
    hole = _grown(hole, size) if touched else hole
    area = functional.interpolate(_plane(hole), size=size, mode="bilinear", antialias=True)[0, 0]
    return (area > 1e-3 if touched else area >= 0.5).numpy()


def _grown(hole: np.ndarray, size: Size) -> np.ndarray:
    """Return the hole grown by as much as the cubic weights of images reach further than the linear ones of masks."""
    scales = (old / new for old, new in zip(hole.shape, size, strict=True))
    height, width = (0 if scale == 1 else math.ceil(max(1.0, scale)) for scale in scales)
    return cv2.dilate(hole.astype(np.uint8), np.ones((2 * height + 1, 2 * width + 1), np.uint8)) > 0


def _plane(hole: np.ndarray) -> Tensor:
    return torch.from_numpy(hole.astype(np.float32))[None, None]


@dataclass(frozen=True)
class MaskFiles:
    """The masks of a folder.

    Args:
        paths: all of them.
        named: those that belong to an image, by its name; empty where they are drawn.
        invert: whether black is the hole.
    """

    paths: Sequence[pathlib.Path]
    named: dict[str, pathlib.Path]
    invert: bool = False

    def drawn(self, draw: float) -> pathlib.Path:
        """Return the mask that ``draw``, from 0 to 1, says."""
        return self.paths[min(int(draw * len(self.paths)), len(self.paths) - 1)]

    def hole(self, path: pathlib.Path, size: Size, *, touched: bool = False) -> np.ndarray:
        """Return the hole (H,W) of a file for an image of ``size``, resized as :func:`resized_hole` says.

        Raises:
            BadFile: nothing or all is a hole.
        """
        hole = read_mask(path, invert=self.invert)
        if hole.all() or not hole.any():
            raise BadFile(
                f"{path}: {'all' if hole.all() else 'none'} of it is a hole; holes are white: draw them, or use "
                "--invert_masks where they are black"
            )
        return resized_hole(hole, size, touched=touched)


def find_masks(folder: pathlib.Path, names: Sequence[str], how: str, *, invert: bool) -> MaskFiles:
    """Return the masks of a folder for images of these names.

    Args:
        how: "name", "random", or "auto": by name where every image has a mask of its name.

    Raises:
        UserError: there are no masks, or one by name is missing.
    """
    paths = images_in(folder, "masks, white where the holes are")
    if how == "random":
        return MaskFiles(paths, {}, invert)
    found = by_stem(paths, folder) if how == "name" else {relative_stem(path, folder): path for path in paths}
    named = {name: found[key] for name in names if (key := _key(name, found)) is not None}
    missing = [name for name in names if name not in named]
    if missing and how == "name":
        raise UserError(
            f"--masks {folder}: no mask '{missing[0]}' ({len(missing)} of {len(names)} images have none); add them, or "
            "use --masks_by random"
        )
    return MaskFiles(paths, {} if missing else named, invert)


def _key(name: str, found: dict[str, pathlib.Path]) -> str | None:
    return next((name + ending for ending in _ENDINGS if name + ending in found), None)


@dataclass(frozen=True)
class Damage:
    """Pixels of one colour, in file values, of which every channel is at most ``tolerance`` away."""

    colour: tuple[float, ...]
    tolerance: float = 0.0

    def hole(self, image: np.ndarray) -> np.ndarray:
        """Return where an image (H,W,C) is damaged, (H,W) bool; UserError where the colour has other channels."""
        if len(self.colour) not in (1, image.shape[2]):
            raise UserError(
                f"--hole_colour {','.join(f'{v:g}' for v in self.colour)}: {len(self.colour)} values, but images have "
                f"{image.shape[2]} channels; give as many, or one for all"
            )
        return np.asarray((np.abs(image.astype(np.float64) - self.colour) <= self.tolerance).all(axis=2))


def parse_colour(text: str, tolerance: float) -> Damage:
    """Return the damage of ``--hole_colour 0,0,0``; UserError when it is none."""
    try:
        return Damage(tuple(float(part) for part in text.split(",")), tolerance)
    except ValueError:
        raise UserError(f"--hole_colour {text}: write file values by commas, such as 0,0,0 for black") from None
