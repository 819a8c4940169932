"""Discriminators that give a whole image one logit: SRGAN's (1609.04802) and ESRGAN's VGG-128 (1809.00219)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import DISCRIMINATORS
from models.networks.common import NetworkOptions
from models.networks.initialise import init_uniform
from models.networks.norms import norm_layer
from models.networks.outputs import DiscriminatorOutput
from util.option import option

_WIDTHS = (1, 2, 4, 8, 8)  # of ESRGAN's levels, in filters of the first


@dataclass(frozen=True)
class SRGANDiscriminatorOptions(NetworkOptions):
    ndf: int = option(64, "filters of the discriminator's first layer", scope="identity", minimum=1)
    size_D: int = option(96, "side of the images the discriminator is made for", scope="identity", minimum=16)


@dataclass(frozen=True)
class VGG128Options(NetworkOptions):
    ndf: int = option(64, "filters of the discriminator's first layer", scope="identity", minimum=1)
    size_D: int = option(128, "side of the images the discriminator is made for", scope="identity", minimum=32)


class SRGANDiscriminator(nn.Module):
    """Tell real from generated (N,input_nc,H,W), H and W at least 16, by one logit (N,1,1,1).

    Eight 3x3 convolutions, every second one halving the size, and two linear layers made for ``side`` x ``side``
    pixels; the maps of other sizes are averaged to what these expect.
    """

    def __init__(self, input_nc: int, ndf: int = 64, norm: str = "batch", side: int = 96) -> None:
        super().__init__()
        layer, self.side = norm_layer(norm), side // 16
        layers: list[nn.Module] = [nn.Conv2d(input_nc, ndf, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        narrow = ndf
        for wide, stride in zip([ndf * w for w in (1, 2, 2, 4, 4, 8, 8)], (2, 1, 2, 1, 2, 1, 2), strict=True):
            layers += [nn.Conv2d(narrow, wide, 3, stride, 1), layer(wide), nn.LeakyReLU(0.2, inplace=True)]
            narrow = wide
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(narrow * self.side**2, 16 * ndf), nn.LeakyReLU(0.2, inplace=True), nn.Linear(16 * ndf, 1)
        )

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        kept = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                kept.append(x)
        logits = self.classifier(F.adaptive_avg_pool2d(x, self.side).flatten(1))
        return [DiscriminatorOutput(logits[:, :, None, None], kept)]

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill the weights with PyTorch's own distribution."""
        init_uniform(self.modules(), generator)


class VGG128Discriminator(nn.Module):
    """Tell real from generated (N,input_nc,H,W), H and W at least 32, by one logit (N,1,1,1).

    Five levels of a 3x3 and a halving 4x4 convolution, and two linear layers made for ``side`` x ``side`` pixels; the
    maps of other sizes are averaged to what these expect.
    """

    def __init__(self, input_nc: int, ndf: int = 64, norm: str = "batch", side: int = 128) -> None:
        super().__init__()
        layer, self.side, narrow = norm_layer(norm), side // 32, input_nc
        for level, wide in enumerate(width * ndf for width in _WIDTHS):
            first = level == 0  # which alone has a bias, and no norm
            setattr(self, f"conv{level}_0", nn.Conv2d(narrow, wide, 3, padding=1, bias=first))
            setattr(self, f"bn{level}_0", nn.Identity() if first else layer(wide))
            setattr(self, f"conv{level}_1", nn.Conv2d(wide, wide, 4, 2, 1, bias=False))
            setattr(self, f"bn{level}_1", layer(wide))
            narrow = wide
        self.linear1 = nn.Linear(narrow * self.side**2, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        kept = []
        for place in (f"{level}_{part}" for level in range(len(_WIDTHS)) for part in (0, 1)):
            convolution, norm = self.get_submodule(f"conv{place}"), self.get_submodule(f"bn{place}")
            x = F.leaky_relu(norm(convolution(x)), 0.2)
            kept.append(x)
        hidden = self.linear1(F.adaptive_avg_pool2d(x, self.side).flatten(1))
        return [DiscriminatorOutput(self.linear2(F.leaky_relu(hidden, 0.2))[:, :, None, None], kept)]

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill the weights with PyTorch's own distribution."""
        init_uniform(self.modules(), generator)


@DISCRIMINATORS.register("srgan", options=SRGANDiscriminatorOptions)
def srgan(options: SRGANDiscriminatorOptions, input_nc: int) -> SRGANDiscriminator:
    """SRGAN's discriminator: one logit an image (Ledig et al. 2017)."""
    return SRGANDiscriminator(input_nc, options.ndf, options.norm, options.size_D)


@DISCRIMINATORS.register("vgg128", options=VGG128Options)
def vgg128(options: VGG128Options, input_nc: int) -> VGG128Discriminator:
    """ESRGAN's VGG discriminator for 128 pixels: one logit an image (Wang et al. 2018)."""
    return VGG128Discriminator(input_nc, options.ndf, options.norm, options.size_D)
