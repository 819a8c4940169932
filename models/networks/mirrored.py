"""Reflection padding of maps of any size, also smaller than what is padded."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MirrorPad(nn.Module):
    """(N,C,H,W) -> (N,C,H+2*reach,W+2*reach), mirrored around the outermost pixels."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.reach = reach

    def forward(self, x: Tensor) -> Tensor:
        return mirror_pad(x, self.reach)


class MirroredConv2d(nn.Conv2d):
    """A square convolution without bias whose padding, half its size, mirrors the map."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, *, padded: bool = True) -> None:
        super().__init__(inputs, outputs, size, stride, bias=False)
        self.reach = size // 2 if padded else 0

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(mirror_pad(x, self.reach))


def mirror_pad(x: Tensor, reach: int) -> Tensor:
    """Return ``x`` with ``reach`` more pixels on each side, as F.pad does; a small map is mirrored back and forth."""
    if reach == 0:
        return x
    if not torch.compiler.is_exporting() and min(x.shape[-2:]) > reach:
        return F.pad(x, (reach,) * 4, mode="reflect")
    rows, columns = (mirrored_indices(size, size + 2 * reach, reach, x.device) for size in x.shape[-2:])
    return x.index_select(-2, rows).index_select(-1, columns)  # an exported program cannot choose by the size


def mirror_up(x: Tensor, multiple: int) -> Tensor:
    """Return (N,C,H,W) with mirrored rows below and columns to the right, until both sides divide by ``multiple``."""
    wanted = [(size + multiple - 1) // multiple * multiple for size in x.shape[-2:]]
    if not torch.compiler.is_exporting() and wanted == list(x.shape[-2:]):
        return x
    rows, columns = (mirrored_indices(*sizes, 0, x.device) for sizes in zip(x.shape[-2:], wanted, strict=True))
    return x.index_select(-2, rows).index_select(-1, columns)


def crop_to(x: Tensor, height: int, width: int) -> Tensor:
    """Return the upper left (N,C,height,width); by indices, as a slice would fix an exported program's sizes."""
    if not torch.compiler.is_exporting() and x.shape[-2:] == (height, width):
        return x
    rows, columns = (torch.arange(size, device=x.device) for size in (height, width))
    return x.index_select(-2, rows).index_select(-1, columns)


def mirrored_indices(
    size: int | torch.SymInt, total: int | torch.SymInt, before: int = 0, device: torch.device | None = None
) -> Tensor:
    """Return which of ``size`` pixels each of ``total`` ones repeats, ``before`` of them before the first.

    Sizes may be symbolic: the exporter sees neither a slice nor a remainder, which would fix them.
    """
    place = (torch.arange(total, device=device) - before).abs()
    period = torch.full_like(place, 2 * size - 2).clamp_min(1)
    place = place - torch.div(place, period, rounding_mode="floor") * period
    return torch.minimum(place, period - place).clamp_max(size - 1)
