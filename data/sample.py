"""One side of a sample: file values -> (C, H, W) in [-1,1] with the channels the network takes."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.common import CommonDataOptions
from data.prepared import Prepared
from data.transforms import Geometry, Size, resize
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

    def prepare(self, image: np.ndarray, path: pathlib.Path, size: Size | None) -> Prepared:
        """Fit the channels of H x W x C file values and resize to ``size``, height and width.

        UserError naming the flag when the channels do not fit.
        """
        image = fit_channels(image, self.channels, path, self.flag)
        found = image.shape[0], image.shape[1]
        finite = np.isfinite(image).all(axis=2, keepdims=True) if image.dtype.kind == "f" else np.ones(1, bool)
        holes = not finite.all()
        if size is None or size == found:
            return Prepared(_chw(image), found, holes=holes)
        if image.dtype == np.uint8:
            return Prepared(resize(_chw(image), size), found)
        values = resize(_chw(self.range.normalize(image)), size)
        if not holes:
            return Prepared(values, found, normalized=True)
        mask = (resize(_chw(finite.astype(np.float32)), size) - 1).abs() < 1e-3  # bicubic weights may be negative
        return Prepared(torch.where(mask, values, -1.0), found, True, holes, mask)

    def cut(self, prepared: Prepared, geometry: Geometry) -> tuple[Tensor, Tensor | None]:
        """Crop and mirror; return (C, h, w), uint8 as in the file or else float32 in [-1,1].

        Also returns a mask (1, h, w), 1 where every pixel that contributed is finite; None where the whole image is.
        """
        values = geometry.cut(prepared.values).contiguous()
        if prepared.normalized:
            return values, None if prepared.mask is None else geometry.cut(prepared.mask).float().contiguous()
        if values.dtype == torch.uint8:
            return values, None
        normal = torch.from_numpy(self.range.normalize(values.numpy()))
        if not prepared.holes:
            return normal, None
        mask = values.isfinite().all(dim=0, keepdim=True)
        return torch.where(mask, normal, -1.0), mask.float()

    def place(self, which: str, prepared: Prepared, geometry: Geometry, path: pathlib.Path) -> dict[str, Any]:
        """Return the part of a sample called ``which``, "A" or "B".

        That is :meth:`cut`'s image, its path, its mask where it has one, and its range where it is uint8.
        """
        values, mask = self.cut(prepared, geometry)
        part: dict[str, Any] = {which: values, f"{which}_paths": str(path)}
        if values.dtype == torch.uint8:
            part[f"{which}_range"] = self.range
        return part if mask is None else part | {f"{which}_mask": mask}


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
    """Return H x W x ``channels``: grey repeated to RGB, RGB to luma, alpha dropped (said once); else UserError.

    Args:
        path: of the image file, or a word for an image that is in none.
    """
    have = image.shape[2]
    if have == channels:
        return image
    if (have, channels) in ((2, 1), (4, 3), (4, 1), (2, 3)) and image.dtype != np.float32:
        _say_alpha_dropped(path)
        return fit_channels(image[..., :-1], channels, path, flag)
    if have == 1 and channels == 3:
        return np.repeat(image, 3, axis=2)
    if have == 3 and channels == 1:
        luma = image.astype(np.float64) @ _LUMA
        return (luma if image.dtype == np.float32 else np.rint(luma)).astype(image.dtype)[..., None]
    raise UserError(f"{path}: {have} channels, but {flag} is {channels}; set {flag} {have} or convert the image")


def _say_alpha_dropped(path: pathlib.Path) -> None:
    """Name the first such file of a folder."""
    folder = str(path.parent if path.suffix else path)
    if folder not in _TOLD:
        _TOLD.add(folder)
        print(f"note: {path}: the alpha channel is left out", file=sys.stderr)


_TOLD: set[str] = set()


def _chw(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.require(image, requirements=("C", "W"))).permute(2, 0, 1)
