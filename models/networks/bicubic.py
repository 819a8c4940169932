"""Bicubic enlargement as a layer (Keys 1981, a = -0.5), with the borders mirrored as MATLAB's imresize does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BICUBIC_REACH = 2


class Bicubic(nn.Module):
    """(N,C,H,W) -> (N,C,scale*H,scale*W), H and W at least 2; nothing is learned and nothing saved.

    One 5x5 kernel for each position within an enlarged pixel, so that it can be cut into tiles and exported.
    """

    kernels: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("kernels", _kernels(scale), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return x
        single = x.reshape(-1, 1, *x.shape[-2:])
        phases = F.conv2d(_mirrored(_mirrored(single, -1), -2), self.kernels.to(x.dtype))
        large = F.pixel_shuffle(phases, self.scale)
        return large.reshape(*x.shape[:2], *large.shape[-2:])


def _mirrored(x: Tensor, axis: int) -> Tensor:
    """Return ``x`` with two pixels before and after, the outermost repeated first."""
    before = x.narrow(axis, 0, 2).flip(axis)
    after = torch.cat([x.select(axis, -1).unsqueeze(axis), x.select(axis, -2).unsqueeze(axis)], axis)
    return torch.cat([before, x, after], axis)


def _kernels(scale: int) -> Tensor:
    """Return (scale^2, 1, 5, 5): the weights of the 5x5 neighbours, by the place within the enlarged pixel."""
    places = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    rows = _cubic(places[:, None] - torch.arange(-2, 3, dtype=torch.float64))
    kernels = rows[:, None, :, None] * rows[None, :, None, :]
    return kernels.reshape(scale * scale, 1, 5, 5).float()


def _cubic(distance: Tensor) -> Tensor:
    x = distance.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
