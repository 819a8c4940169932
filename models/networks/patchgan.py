"""PatchGAN discriminators: one logit a patch (Isola et al. 2017, arXiv:1611.07004)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.networks import DISCRIMINATORS
from models.networks.common import NetworkOptions
from models.networks.norms import norm_layer, uses_bias
from models.networks.outputs import DiscriminatorOutput
from util.option import option


@dataclass(frozen=True)
class BasicOptions(NetworkOptions):
    ndf: int = option(64, "filters of the discriminator's first layer", scope="identity", minimum=1)


@dataclass(frozen=True)
class NLayersOptions(NetworkOptions):
    ndf: int = option(64, "filters of the discriminator's first layer", scope="identity", minimum=1)
    n_layers_D: int = option(3, "downsampling layers of the discriminator", scope="identity", minimum=1)


def run_layers(layers: nn.Sequential, x: Tensor) -> list[DiscriminatorOutput]:
    """Run ``layers`` and return the last output as logits and what each LeakyReLU gave as features."""
    features = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.LeakyReLU):
            features.append(x)
    return [DiscriminatorOutput(x, features)]


class PatchDiscriminator(nn.Module):
    """Tell real from generated (N,input_nc,H,W) by patches: logits (N,1,h,w).

    3 layers see 70x70 pixels and give h = H/8 - 2.
    """

    def __init__(self, input_nc: int, ndf: int = 64, n_layers: int = 3, norm: str = "instance") -> None:
        super().__init__()
        layer, bias = norm_layer(norm), uses_bias(norm)
        widths = [ndf * min(2**i, 8) for i in range(n_layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(input_nc, ndf, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for i, (narrow, wide) in enumerate(zip(widths, widths[1:], strict=False), start=1):
            stride = 2 if i < n_layers else 1
            layers += [nn.Conv2d(narrow, wide, 4, stride, 1, bias=bias), layer(wide), nn.LeakyReLU(0.2, inplace=True)]
        layers.append(nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        return run_layers(self.model, x)


@DISCRIMINATORS.register("basic", options=BasicOptions)
def basic(options: BasicOptions, input_nc: int) -> PatchDiscriminator:
    """PatchGAN of 3 downsampling layers: 70x70 pixels a patch (Isola et al. 2017)."""
    return PatchDiscriminator(input_nc, options.ndf, 3, options.norm)


@DISCRIMINATORS.register("n_layers", options=NLayersOptions)
def n_layers(options: NLayersOptions, input_nc: int) -> PatchDiscriminator:
    """PatchGAN of --n_layers_D downsampling layers (Isola et al. 2017)."""
    return PatchDiscriminator(input_nc, options.ndf, options.n_layers_D, options.norm)
