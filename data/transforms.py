"""Resize, crop, turn and flip: parameters drawn once per sample, applied alike to every image of a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from data.common import CommonDataOptions
from util.errors import UserError

Size = tuple[int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Geometry:
    """What to do with an image: resize to (height, width), cut the box (top, left, height, width), turn, mirror.

    Args:
        flip: exchange left and right.
        flip_vertical: exchange top and bottom.
        quarters: quarter turns anticlockwise, before it is mirrored.
    """

    resize: Size | None = None
    box: Box | None = None
    flip: bool = False
    flip_vertical: bool = False
    quarters: int = 0

    def __call__(self, image: Tensor) -> Tensor:
        """Apply to (C, H, W), uint8 or float32; the dtype is kept."""
        if self.resize is not None and self.resize != tuple(image.shape[-2:]):
            image = resize(image, self.resize)
        return self.cut(image)

    def cut(self, image: Any) -> Tensor:
        """Crop, turn and mirror (C, H, W) that has its size already; all that can be sliced to a tensor will do."""
        if self.box is not None:
            top, left, height, width = self.box
            image = image[:, top : top + height, left : left + width]
        else:
            image = image[:]
        return self.turn(image)

    def turn(self, image: Tensor) -> Tensor:
        """Turn and mirror (C, H, W)."""
        image = image.rot90(self.quarters, (-2, -1)) if self.quarters else image
        axes = [axis for axis, mirrored in ((-2, self.flip_vertical), (-1, self.flip)) if mirrored]
        return image.flip(axes) if axes else image

    def turned_box(self, size: Size) -> tuple[Size, Box]:
        """Return the size that the whole image would have if it were turned, and where in it the result lies.

        Args:
            size: height and width of the image that is cut.
        """
        height, width = size
        top, left, rows, columns = self.box or (0, 0, height, width)
        for _ in range(self.quarters):
            top, left, rows, columns = width - left - columns, top, columns, rows
            height, width = width, height
        top = height - top - rows if self.flip_vertical else top
        left = width - left - columns if self.flip else left
        return (height, width), (top, left, rows, columns)


def resize(image: Tensor, size: Size) -> Tensor:
    """Resize (C, H, W) by antialiased bicubic interpolation; uint8 is rounded, float is not clipped."""
    return functional.interpolate(image[None], size=size, mode="bicubic", antialias=True)[0]


def draw(options: CommonDataOptions, size: Size, generator: torch.Generator, *, train: bool, path: str) -> Geometry:
    """Draw the geometry of one sample from its generator; in testing the crop is central and nothing is turned.

    Args:
        size: height and width of the image, the same for all images of a pair.
        path: the file, for the message.

    Raises:
        UserError: the image, after resizing, is smaller than the crop.
    """
    target = resized(options, size)
    whole = target or size
    box = None
    if "crop" in options.preprocess and (train or not options.sees_whole):
        box = _box(options, whole, generator, train, path)
    if not train:
        return Geometry(target, box)
    flip = not options.no_flip and _coin(generator)
    vertical = options.flip_vertical and _coin(generator)
    quarters = _quarters((box[2], box[3]) if box else whole, generator) if options.rot90 else 0
    return Geometry(target, box, flip, vertical, quarters)


def _coin(generator: torch.Generator) -> bool:
    return bool(torch.rand((), generator=generator) < 0.5)


def _quarters(size: Size, generator: torch.Generator) -> int:
    """Draw quarter turns that leave the size as it is."""
    quarters = int(torch.randint(4, (), generator=generator))
    return quarters if size[0] == size[1] else quarters // 2 * 2


def resized(options: CommonDataOptions, size: Size) -> Size | None:
    """Return the height and width that ``--preprocess`` resizes to, None when it does not.

    ``scale_width`` keeps the proportions, but the height never falls below ``--crop_size``.
    """
    height, width = size
    if options.preprocess == "resize_and_crop":
        return options.load_size, options.load_size
    if options.preprocess.startswith("scale_width"):
        return max(round(height * options.load_size / width), options.crop_size), options.load_size
    return None


def resize_rule(options: CommonDataOptions) -> tuple[Any, ...]:
    """Return what :func:`resized` makes of an image depends on beside its size."""
    if options.preprocess == "resize_and_crop":
        return ("square", options.load_size)
    if options.preprocess.startswith("scale_width"):
        return ("width", options.load_size, options.crop_size)
    return ()


def _box(
    options: CommonDataOptions, size: Size, generator: torch.Generator, train: bool, path: str
) -> Box:
    crop = options.crop_size
    slack_y, slack_x = size[0] - crop, size[1] - crop
    if slack_y < 0 or slack_x < 0:
        raise UserError(_too_small(options, size, path))
    if not train:
        return slack_y // 2, slack_x // 2, crop, crop
    across, down = torch.rand(2, generator=generator).tolist()
    return int(down * (slack_y + 1)), int(across * (slack_x + 1)), crop, crop


def _too_small(options: CommonDataOptions, size: Size, path: str) -> str:
    height, width = size
    crop, best = options.crop_size, min(size)
    if options.preprocess == "resize_and_crop":
        return f"--load_size {best} is below --crop_size {crop}; set --load_size {crop} or --crop_size {best}"
    return (
        f"{path}: {width}x{height} pixels for --preprocess {options.preprocess}, less than --crop_size {crop}; "
        f"set --crop_size {best} or less, or --preprocess resize_and_crop"
    )
