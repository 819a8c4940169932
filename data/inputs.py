"""What a network sees beside a patch of an image: other normalizations, places, and the whole image made small.

All of it follows from the whole image and the box that is looked at. A box of a larger image gives the same values as
that image cut afterwards, and in a turned or mirrored image places are those of the turned image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data.common import INPUT_NORMS, CommonDataOptions
from data.transforms import Box, Geometry, Size
from util.errors import UserError, did_you_mean

LOCAL = 31  # pixels; side of the square around a pixel that "local" compares it with
_FLAT = 0.02  # of the range of 2: a smaller deviation is noise, not contrast
_ROWS = 128  # that are summed up at once
_LEVELS = 255.0  # "log" is linear below about one of so many

Read = Callable[[Box], Tensor]


@dataclass(frozen=True)
class Facts:
    """What one whole image has to tell: mean and deviation (C,1,1), and the image made small, (C,side,side)."""

    mean: Tensor | None = None
    deviation: Tensor | None = None
    overview: Tensor | None = None


@dataclass(frozen=True)
class Inputs:
    """The channels of a generator's input, the image itself first.

    Args:
        image_nc: channels of the image.
        norms: versions of it, "range" first.
        coordinates: whether the rows' and columns' places follow, from -1 to 1 over the whole image.
        context: side of the patches behind which the whole image follows, as large as they, and 1 where the patch
            lies in it, -1 elsewhere; 0 for none.
    """

    image_nc: int
    norms: tuple[str, ...] = ("range",)
    coordinates: bool = False
    context: int = 0

    @classmethod
    def of(cls, options: CommonDataOptions) -> Inputs:
        """Return what the flags ask for; UserError where they are no such versions."""
        norms = options.input_norms
        for name in norms:
            if name not in INPUT_NORMS:
                near = did_you_mean(name, INPUT_NORMS)
                raise UserError(f"unknown --input_norms '{name}'{near} (choose from {', '.join(INPUT_NORMS)})")
        if norms[0] != "range" or len(set(norms)) < len(norms):
            rest = dict.fromkeys(name for name in norms if name != "range")
            raise UserError(f"--input_norms {','.join(norms)}: each once, range first: {','.join(['range', *rest])}")
        context = options.crop_size if options.context == "image" else 0
        return cls(options.input_nc, norms, options.coordinates, context)

    @property
    def channels(self) -> int:
        """Return the channels of all."""
        context = self.image_nc + 1 if self.context else 0
        return self.image_nc * len(self.norms) + 2 * self.coordinates + context

    @property
    def names(self) -> list[str]:
        """Return what each channel is, in words."""
        image = [f"{norm} {number}" for norm in self.norms for number in range(1, self.image_nc + 1)]
        places = ["row", "column"] if self.coordinates else []
        whole = [f"whole {number}" for number in range(1, self.image_nc + 1)] + ["location"] if self.context else []
        return image + places + whole

    @property
    def plain(self) -> bool:
        """Return whether there is nothing but the image."""
        return self.channels == self.image_nc

    @property
    def margin(self) -> int:
        """Return by how many pixels a box has to be known beyond itself."""
        return LOCAL // 2 if "local" in self.norms else 0

    def facts(self, read: Read, size: Size) -> Facts:
        """Return what has to be known of a whole image, read by rows.

        Args:
            read: returns the (C,h,w) in [-1,1] of a box.
            size: height and width of the image.
        """
        mean, deviation = _moments(read, size) if "image" in self.norms else (None, None)
        return Facts(mean, deviation, _overview(read, size, self.context) if self.context else None)

    def extend(self, read: Read, size: Size, facts: Facts, geometry: Geometry) -> Tensor:
        """Return (channels,h,w) of the box of a geometry, turned and mirrored as it says.

        Raises:
            ValueError: there is a context, and the box is no patch of its side.
        """
        box = geometry.box or (0, 0, *size)
        if self.context and box[2:] != (self.context, self.context):
            raise ValueError(f"a context of {self.context} pixels, and a patch of {box[2:]}")
        parts = [geometry.turn(self._versions(read, size, box, facts))]
        turned_size, turned_box = geometry.turned_box(size)
        if self.coordinates:
            parts.append(places(turned_size, turned_box))
        if facts.overview is not None:
            parts += [geometry.turn(facts.overview), location(turned_size, turned_box, self.context)]
        return torch.cat(parts)

    def _versions(self, read: Read, size: Size, box: Box, facts: Facts) -> Tensor:
        region = _grown(box, self.margin, size)
        pixels = read(region)
        versions = torch.cat([_normalized(name, pixels, facts) for name in self.norms])
        top, left = box[0] - region[0], box[1] - region[1]
        return versions[:, top : top + box[2], left : left + box[3]]


def _normalized(name: str, pixels: Tensor, facts: Facts) -> Tensor:
    if name == "image":
        assert facts.mean is not None and facts.deviation is not None
        return (pixels - facts.mean) / facts.deviation.clamp_min(_FLAT)
    if name == "local":
        return local_contrast(pixels)
    return logarithms(pixels) if name == "log" else pixels


def local_contrast(image: Tensor) -> Tensor:
    """Return (C,H,W) less the mean around every pixel, over the deviation there; at borders of what there is."""
    mean = _around(image)
    variance = _around(image.square()) - mean.square()
    return (image - mean) / variance.clamp_min(_FLAT**2).sqrt()


def _around(image: Tensor) -> Tensor:
    """Return the mean over a square, as far as it lies inside: of rows first, then of columns."""
    half = LOCAL // 2
    rows = F.avg_pool2d(image, (LOCAL, 1), 1, (half, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, LOCAL), 1, (0, half), count_include_pad=False)


def logarithms(image: Tensor) -> Tensor:
    """Return values of [-1,1] on a scale of logarithms, -1 and 1 in their places; what lies below -1 becomes -1."""
    unit = (image * 0.5 + 0.5).clamp_min(0)
    return torch.log1p(_LEVELS * unit) * (2 / math.log1p(_LEVELS)) - 1


def places(size: Size, box: Box) -> Tensor:
    """Return (2,h,w): how far down and how far right each pixel of a box lies, -1 and 1 at the image's borders."""
    top, left, height, width = box
    rows = (torch.arange(top, top + height) + 0.5) * (2 / size[0]) - 1
    columns = (torch.arange(left, left + width) + 0.5) * (2 / size[1]) - 1
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def location(size: Size, box: Box, side: int) -> Tensor:
    """Return (1,side,side), the whole image squeezed into a square: 1 where the box lies, -1 elsewhere.

    At the box's borders it is between, by how much of the pixel is covered.
    """
    rows, columns = (_covered(box[axis], box[axis + 2], size[axis], side) for axis in (0, 1))
    return torch.outer(rows, columns)[None] * 2 - 1


def _covered(begin: int, length: int, size: int, cells: int) -> Tensor:
    """Return how much of each of the cells that divide ``size`` pixels lies in a run of them, 0 to 1."""
    edges = torch.arange(cells + 1) * (size / cells)
    inside = edges.clamp(begin, begin + length)
    return (inside[1:] - inside[:-1]) * (cells / size)


def _grown(box: Box, margin: int, size: Size) -> Box:
    top, left = max(0, box[0] - margin), max(0, box[1] - margin)
    bottom, right = min(size[0], box[0] + box[2] + margin), min(size[1], box[1] + box[3] + margin)
    return top, left, bottom - top, right - left


def _moments(read: Read, size: Size) -> tuple[Tensor, Tensor]:
    height, width = size
    total, squares = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for top in range(0, height, _ROWS):
        rows = read((top, 0, min(_ROWS, height - top), width)).double()
        total, squares = total + rows.sum((1, 2)), squares + rows.square().sum((1, 2))
    mean = total / (height * width)
    deviation = (squares / (height * width) - mean.square()).clamp_min(0).sqrt()
    return mean.float().view(-1, 1, 1), deviation.float().view(-1, 1, 1)


def _overview(read: Read, size: Size, side: int) -> Tensor:
    """Return the whole image as (C,side,side), each pixel the mean of those it stands for."""
    height, width = size
    rows = []
    for number in range(side):
        top, bottom = number * height // side, -(-(number + 1) * height // side)
        mean = read((top, 0, bottom - top, width)).mean(1, keepdim=True)
        rows.append(F.adaptive_avg_pool2d(mean, (1, side)))
    return torch.cat(rows, 1)
