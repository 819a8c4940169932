"""One side of a sample: file values -> (C, H, W) in [-1,1] with the channels the network takes."""

from __future__ import annotations

import functools
import pathlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.common import CommonDataOptions
from data.readers import read_image
from data.transforms import Geometry
from data.value_range import ValueRange, parse_spec, resolve_range
from data.writers import FileFormat
from util.errors import UserError

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in Pillow


@dataclass(frozen=True)
class Examples:
    """What a side's range and format are taken from: its files' dtype, and images of the training split."""

    dtype: str
    training_images: Callable[[], Iterable[np.ndarray]]


@dataclass(frozen=True)
class Side:
    """The source or the target of a data set: how many channels, which values, and how outputs are stored."""

    flag: str
    channels: int
    range: ValueRange
    format: FileFormat

    def read(self, path: pathlib.Path) -> np.ndarray:
        """Return the file's values, H x W x C, with this side's channels."""
        return self.fit(read_image(path), path)

    def fit(self, image: np.ndarray, path: pathlib.Path) -> np.ndarray:
        """Return H x W x C with this side's channels; UserError naming the flag when that is impossible."""
        return fit_channels(image, self.channels, path, self.flag)

    def tensor(self, image: np.ndarray, geometry: Geometry) -> tuple[Tensor, Tensor | None]:
        """Transform H x W x C file values to (C, h, w) float32 in [-1,1].

        Also returns a mask (1, h, w), 1 where every pixel that contributed is finite; None where all are.
        """
        if image.dtype == np.uint8:
            return self._from_uint8(image, geometry), None
        finite = np.isfinite(image).all(axis=2, keepdims=True)
        values = geometry(_chw(self.range.normalize(image))).contiguous()
        if finite.all():
            return values, None
        mask = (geometry(_chw(finite.astype(np.float32))) - 1).abs() < 1e-3  # bicubic weights may be negative
        return torch.where(mask, values, torch.tensor(-1.0)), mask.float().contiguous()

    def _from_uint8(self, image: np.ndarray, geometry: Geometry) -> Tensor:
        scale = 2.0 / (self.range.high - self.range.low)
        values = geometry(_chw(image)).to(torch.float32, memory_format=torch.contiguous_format)
        return values.contiguous().mul_(scale).add_(-1.0 - self.range.low * scale)


def make_sides(
    common: CommonDataOptions,
    sources: Examples,
    targets: Examples | None,
    ranges: dict[str, ValueRange] | None,
) -> dict[str, Side]:
    """Return side "A" (the source) and, given targets, side "B".

    Args:
        ranges: what a run has saved; it wins over ``--value_range``.
    """
    source_spec, target_spec = parse_spec(common.value_range)
    saved = ranges or {}
    sides = {"A": _side("--input_nc", common.input_nc, source_spec, sources, saved.get("A"))}
    if targets is not None:
        sides["B"] = _side("--output_nc", common.output_nc, target_spec, targets, saved.get("B"))
    return sides


def _side(flag: str, channels: int, spec: str | ValueRange, examples: Examples, saved: ValueRange | None) -> Side:
    value_range = saved or resolve_range(spec, examples.dtype, examples.training_images)
    return Side(flag, channels, value_range, FileFormat(examples.dtype, channels))


def fit_channels(image: np.ndarray, channels: int, path: pathlib.Path, flag: str) -> np.ndarray:
    """Return H x W x ``channels``: grey repeated to RGB, RGB to luma, alpha dropped (said once); else UserError."""
    have = image.shape[2]
    if have == channels:
        return image
    if (have, channels) in ((2, 1), (4, 3), (4, 1), (2, 3)) and image.dtype != np.float32:
        _say_alpha_dropped(str(path.parent))
        return fit_channels(image[..., :-1], channels, path, flag)
    if have == 1 and channels == 3:
        return np.repeat(image, 3, axis=2)
    if have == 3 and channels == 1:
        luma = image.astype(np.float64) @ _LUMA
        return (luma if image.dtype == np.float32 else np.rint(luma)).astype(image.dtype)[..., None]
    raise UserError(f"{path}: {have} channels, but {flag} is {channels}; set {flag} {have} or convert the image")


@functools.cache
def _say_alpha_dropped(folder: str) -> None:
    print(f"note: {folder}: the alpha channel is left out", file=sys.stderr)


def _chw(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(image, requirements=("C", "W"))).permute(2, 0, 1)
