"""Gated convolutions, which learn where a map is to be believed (Yu et al. 2019, arXiv:1806.03589)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]


class GatedConv2d(nn.Module):
    """(N,inputs,H,W) -> (N,outputs,H/stride,W/stride): activation(a) * sigmoid(b) of one convolution, zero padded."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(
        self, inputs: int, outputs: int, size: int = 3, stride: int = 1, rate: int = 1, activation: Activation = F.elu
    ) -> None:
        super().__init__()
        self.activation = activation
        self.conv = nn.Conv2d(inputs, 2 * outputs, size, stride, rate * (size - 1) // 2, rate)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.conv(x).chunk(2, 1)
        return self.activation(value) * torch.sigmoid(gate)


class PlainConv2d(nn.Module):
    """A 3x3 convolution without gate, which makes the image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class GatedEnlarge(nn.Module):
    """(N,inputs,H,W) -> (N,outputs,2H,2W): each pixel four times, and a gated convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = GatedConv2d(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class GatedDown(nn.Module):
    """(N,inputs,H,W) -> (N,outputs,H/2,W/2)."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.conv1_downsample = GatedConv2d(inputs, hidden, stride=2)
        self.conv2 = GatedConv2d(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1_downsample(x))


class GatedUp(nn.Module):
    """(N,inputs,H,W) -> (N,outputs,2H,2W)."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.conv1_upsample = GatedEnlarge(inputs, hidden)
        self.conv2 = GatedConv2d(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1_upsample(x))
