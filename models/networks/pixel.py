"""Discriminator of single pixels, by colour alone (Isola et al. 2017, arXiv:1611.07004)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.networks import DISCRIMINATORS
from models.networks.common import NetworkOptions
from models.networks.norms import norm_layer, uses_bias
from models.networks.outputs import DiscriminatorOutput
from models.networks.patchgan import run_layers
from util.option import option


@dataclass(frozen=True)
class PixelOptions(NetworkOptions):
    ndf: int = option(64, "filters of the discriminator's first layer", scope="identity", minimum=1)


class PixelDiscriminator(nn.Module):
    """Tell real from generated (N,input_nc,H,W) pixel by pixel: logits (N,1,H,W)."""

    def __init__(self, input_nc: int, ndf: int = 64, norm: str = "instance") -> None:
        super().__init__()
        bias = uses_bias(norm)
        self.net = nn.Sequential(
            nn.Conv2d(input_nc, ndf, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, 2 * ndf, 1, bias=bias),
            norm_layer(norm)(2 * ndf),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * ndf, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        return run_layers(self.net, x)


@DISCRIMINATORS.register("pixel", options=PixelOptions)
def pixel(options: PixelOptions, input_nc: int) -> PixelDiscriminator:
    """1x1 PatchGAN: one logit a pixel (Isola et al. 2017)."""
    return PixelDiscriminator(input_nc, options.ndf, options.norm)
