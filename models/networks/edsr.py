"""EDSR (Lim et al. 2017, arXiv:1707.02921): residual blocks without normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import EnlargerOptions
from models.networks.ranges import UnitRange
from models.networks.reach import receptive_field
from models.networks.subpixel import factors, subpixel_layers, subpixel_reach
from util.option import option

_LEVELS = 255.0  # the network computes in levels of 8 bits
_MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, red to blue


@dataclass(frozen=True)
class EDSROptions(EnlargerOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(16, "residual blocks of the generator", scope="identity", minimum=1)


@dataclass(frozen=True)
class EDSRLargeOptions(EDSROptions):
    ngf: int = option(256, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(32, "residual blocks of the generator", scope="identity", minimum=1)


class PlainBlock(nn.Module):
    """x + weight * f(x) on (N,channels,H,W): two convolutions without norms."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, channels: int, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight * self.conv2(torch.relu(self.conv1(x)))


class EDSR(UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W), any H and W; UserError for a scale it has not.

    Args:
        residual_weight: of what a block adds; 0.1 keeps wide networks stable.
    """

    source_mean: Tensor
    target_mean: Tensor

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        ngf: int = 64,
        n_blocks: int = 16,
        scale: int = 1,
        residual_weight: float = 1.0,
    ) -> None:
        super().__init__()
        steps = factors(scale, "edsr")
        self.scale = scale
        self.receptive_field = receptive_field([2 + 2 * n_blocks, *subpixel_reach(steps), 1], scale)
        self.register_buffer("source_mean", _mean(input_nc), persistent=False)
        self.register_buffer("target_mean", _mean(output_nc), persistent=False)
        self.conv_first = nn.Conv2d(input_nc, ngf, 3, padding=1)
        self.body = nn.Sequential(*(PlainBlock(ngf, residual_weight) for _ in range(n_blocks)))
        self.conv_after_body = nn.Conv2d(ngf, ngf, 3, padding=1)
        self.upsample = nn.Sequential(*subpixel_layers(ngf, steps))
        self.conv_last = nn.Conv2d(ngf, output_nc, 3, padding=1)

    def published(self, x: Tensor) -> Tensor:
        shallow = self.conv_first((x - self.source_mean) * _LEVELS)
        deep = shallow + self.conv_after_body(self.body(shallow))
        return self.conv_last(self.upsample(deep)) / _LEVELS + self.target_mean


def _mean(channels: int) -> Tensor:
    """Return (1,channels,1,1): the mean colour, or for other than three channels the mean of its parts."""
    values = _MEAN if channels == 3 else (sum(_MEAN) / 3,) * channels
    return torch.tensor(values).view(1, channels, 1, 1)


@GENERATORS.register("edsr", options=EDSROptions)
def edsr(options: EDSROptions, input_nc: int, output_nc: int) -> EDSR:
    """EDSR baseline: 16 blocks of 64 filters (Lim et al. 2017)."""
    return EDSR(input_nc, output_nc, options.ngf, options.n_blocks, options.scale)


@GENERATORS.register("edsr_large", options=EDSRLargeOptions)
def edsr_large(options: EDSRLargeOptions, input_nc: int, output_nc: int) -> EDSR:
    """EDSR: 32 blocks of 256 filters, their residuals times 0.1 (Lim et al. 2017)."""
    return EDSR(input_nc, output_nc, options.ngf, options.n_blocks, options.scale, 0.1)
