"""The orthonormal Fourier transform of real maps, and a convolution of it (Chi et al. 2020, NeurIPS)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from util.precision import widened


class FourierUnit(nn.Module):
    """(N,channels,H,W) -> the same: one convolution of the whole spectrum, whose every value sees the whole map.

    It computes in float32 (or more) whatever the precision around it: the sum of a map, which is its lowest
    frequency, does not fit into float16 where the map is large.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(2 * channels, 2 * channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            wide = widened(x)
            spectrum = F.conv2d(spectrum_of(wide), self.conv_layer.weight.to(wide.dtype))
            return map_of(torch.relu(self.bn(spectrum)), x.shape[-1]).to(x.dtype)


def spectrum_of(x: Tensor) -> Tensor:
    """Return (N,2C,H,W//2+1) for real (N,C,H,W): of each channel the real and then the imaginary part."""
    if torch.compiler.is_exporting():
        return _spectrum_by_products(x)
    found = torch.fft.rfft2(x, norm="ortho")
    return torch.stack((found.real, found.imag), 2).flatten(1, 2)


def map_of(spectrum: Tensor, width: int) -> Tensor:
    """Return the real (N,C,H,width) for what :func:`spectrum_of` gives, or any other (N,2C,H,width//2+1)."""
    real, imaginary = spectrum.unflatten(1, (-1, 2)).unbind(2)
    if torch.compiler.is_exporting():
        return _map_by_products(real, imaginary, width)
    return torch.fft.irfft2(torch.complex(real, imaginary), (spectrum.shape[-2], width), norm="ortho")


# Runtimes of exported files have no Fourier transform, or a slow one: there it is four matrix products.


def _spectrum_by_products(x: Tensor) -> Tensor:
    cosine, sine = _waves(x.shape[-1], x.shape[-1] // 2 + 1, x)
    real, imaginary = x @ cosine.t(), -(x @ sine.t())
    cosine, sine = _waves(x.shape[-2], x.shape[-2], x)
    return torch.stack((cosine @ real + sine @ imaginary, cosine @ imaginary - sine @ real), 2).flatten(1, 2)


def _map_by_products(real: Tensor, imaginary: Tensor, width: int) -> Tensor:
    cosine, sine = _waves(real.shape[-2], real.shape[-2], real)
    real, imaginary = cosine @ real - sine @ imaginary, cosine @ imaginary + sine @ real
    cosine, sine = _waves(width, real.shape[-1], real)
    frequency = torch.arange(real.shape[-1], device=real.device)
    alone = (frequency == 0).to(real.dtype) + (2 * frequency == width).to(real.dtype)
    weight = 2 - alone  # all others stand for a frequency and its negative
    return (real * weight) @ cosine - (imaginary * weight) @ sine


def _waves(size: int, count: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first ``count`` cosine and sine waves over ``size`` points, each (count,size), over sqrt(size)."""
    place = torch.arange(size, dtype=like.dtype, device=like.device)
    frequency = torch.arange(count, dtype=like.dtype, device=like.device)
    total = torch.ones_like(place).sum()
    turns = frequency[:, None] * place  # whole turns go first, while the numbers are exact
    angle = (turns - total * torch.floor(turns / total)) * (2 * math.pi / total)
    return angle.cos() / total.sqrt(), angle.sin() / total.sqrt()
