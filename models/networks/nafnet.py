"""NAFNet (Chen et al. 2022, arXiv:2204.04676): restoration at equal size without activation functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import PlainOptions
from models.networks.ranges import UnitRange
from models.networks.subpixel import added
from util.errors import UserError
from util.option import option
from util.precision import widened


@dataclass(frozen=True)
class NAFNetOptions(PlainOptions):
    ngf: int = option(32, "filters of the generator's outermost layers", scope="identity", minimum=1)
    naf_encoder: tuple[int, ...] = option(
        (1, 1, 1, 28), "blocks of each level on the way down, by commas", scope="identity", minimum=0
    )
    naf_middle: int = option(1, "blocks at the lowest resolution", scope="identity", minimum=0)
    naf_decoder: tuple[int, ...] = option(
        (1, 1, 1, 1), "blocks of each level on the way up, by commas", scope="identity", minimum=0
    )


class ChannelNorm(nn.Module):
    """Give the channels of every pixel of (N,channels,H,W) mean 0 and variance 1, then a learned scale and shift."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = widened(x)
        variance, mean = torch.var_mean(wide, 1, keepdim=True, correction=0)
        normed = ((wide - mean) * torch.rsqrt(variance + self.eps)).to(x.dtype)
        return normed * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)


class NAFBlock(nn.Module):
    """Two residuals on (N,channels,H,W): gated convolutions with channel attention, and a gated pair of 1x1."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.conv1 = nn.Conv2d(channels, wide, 1)
        self.conv2 = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1))
        self.conv4 = nn.Conv2d(channels, wide, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = _gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.conv3(y * self.sca(y)) * self.beta
        return x + self.conv5(_gate(self.conv4(self.norm2(x)))) * self.gamma


def _gate(x: Tensor) -> Tensor:
    """Return the product of both halves of the channels."""
    first, second = x.chunk(2, 1)
    return first * second


class NAFNet(UnitRange):
    """Restore (N,input_nc,H,W) in [0,1] as (N,output_nc,H,W), any H and W.

    What does not divide by the coarsest level's step is padded with zeros below and right, as published. Its attention
    averages over the whole image, so it cannot be cut into tiles.
    """

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        width: int = 32,
        encoder: Sequence[int] = (1, 1, 1, 28),
        middle: int = 1,
        decoder: Sequence[int] = (1, 1, 1, 1),
    ) -> None:
        super().__init__()
        if len(encoder) != len(decoder):
            raise UserError(
                f"--naf_encoder has {len(encoder)} levels and --naf_decoder {len(decoder)}: give as many to both"
            )
        self.step = 2 ** len(encoder)
        self.intro = nn.Conv2d(input_nc, width, 3, padding=1)
        self.ending = nn.Conv2d(width, output_nc, 3, padding=1)
        self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList()
        self.ups, self.downs = nn.ModuleList(), nn.ModuleList()
        for count in encoder:
            self.encoders.append(_blocks(width, count))
            self.downs.append(nn.Conv2d(width, 2 * width, 2, 2))
            width *= 2
        self.middle_blks = _blocks(width, middle)
        for count in decoder:
            self.ups.append(nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2)))
            width //= 2
            self.decoders.append(_blocks(width, count))

    def published(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % self.step, 0, -height % self.step))
        y, kept = self.intro(padded), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            y = encoder(y)
            kept.append(y)
            y = down(y)
        y = self.middle_blks(y)
        for decoder, up, skip in zip(self.decoders, self.ups, reversed(kept), strict=True):
            y = decoder(up(y) + skip)
        return added(padded, self.ending(y))[..., :height, :width]


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(width) for _ in range(count)))


@GENERATORS.register("nafnet", options=NAFNetOptions)
def nafnet(options: NAFNetOptions, input_nc: int, output_nc: int) -> NAFNet:
    """NAFNet, restoration at equal size (Chen et al. 2022)."""
    counts = options.naf_encoder, options.naf_middle, options.naf_decoder
    return NAFNet(input_nc, output_nc, options.ngf, *counts)
