"""Mean and variance of a whole image from those of its tiles."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Moments:
    """Per-channel mean and variance, merged tile by tile in float64 (Chan, Golub and LeVeque 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.squares = torch.zeros(())

    def add(self, x: Tensor) -> None:
        """Count in the pixels of (N,C,h,w)."""
        variance, mean = (value.double().cpu() for value in torch.var_mean(x.float(), (0, 2, 3), correction=0))
        count = x.numel() // x.shape[1]
        total, delta = self.count + count, mean - self.mean
        self.squares = self.squares + variance * count + delta.square() * (self.count * count / total)
        self.mean = self.mean + delta * (count / total)
        self.count = total

    def affine(self, norm: Any, device: torch.device) -> Affine:
        """Return what the norm does to every pixel, given these statistics."""
        scale = torch.rsqrt(self.squares / self.count + norm.eps)
        shift = torch.zeros_like(scale)
        if norm.weight is not None and norm.bias is not None:
            scale, shift = scale * norm.weight.detach().double().cpu(), norm.bias.detach().double().cpu()
        return Affine(*(value.float().view(1, -1, 1, 1).to(device) for value in (scale, shift, self.mean)))


class Affine:
    """``(x - mean) * scale + shift`` per channel; without a mean, which is 0 then.

    The mean goes first: a flat image is exactly 0 behind a norm, and further norms would enlarge any rest of it.
    """

    def __init__(self, scale: Tensor, shift: Tensor, mean: Tensor | None = None) -> None:
        self.scale, self.shift, self.mean = scale, shift, mean

    def __call__(self, x: Tensor) -> Tensor:
        """Return the normalised (N,C,h,w), in the input's dtype."""
        wide = x.float() if self.mean is None else x.float() - self.mean
        return torch.addcmul(self.shift, wide, self.scale).to(x.dtype)
