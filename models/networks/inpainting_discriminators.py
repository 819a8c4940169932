"""The discriminators of LaMa, DeepFillv2 and AOT-GAN."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks import DISCRIMINATORS
from models.networks.common import PlainOptions
from models.networks.initialise import init_uniform
from models.networks.outputs import DiscriminatorOutput
from models.networks.patchgan import run_layers
from models.networks.spectral import SpectralConv2d
from util.option import option

_WIDEST = 8  # times the filters of the first layer
_SN_WIDTHS = (1, 2, 4, 4, 4, 4)  # of SN-PatchGAN's layers, in filters of the first


@dataclass(frozen=True)
class WidthOptions(PlainOptions):
    ndf: int = option(64, "filters of the discriminator's first layer", scope="identity", minimum=1)


@dataclass(frozen=True)
class LaMaDiscriminatorOptions(WidthOptions):
    n_layers_D: int = option(4, "downsampling layers of the discriminator", scope="identity", minimum=1)


class LaMaDiscriminator(nn.Module):
    """Tell real from generated (N,input_nc,H,W) by patches: logits (N,1,h,w), h = H/16 + 3 with 4 layers.

    pix2pixHD's layers (Wang et al. 2018, arXiv:1711.11585), padded by 2, with batch norm; each one's output is a
    feature to match.
    """

    def __init__(self, input_nc: int, ndf: int = 64, n_layers: int = 4) -> None:
        super().__init__()
        widths = [ndf * min(2**i, _WIDEST) for i in range(n_layers + 1)]
        self.model0 = nn.Sequential(nn.Conv2d(input_nc, ndf, 4, 2, 2), nn.LeakyReLU(0.2, inplace=True))
        for number, (narrow, wide) in enumerate(zip(widths, widths[1:], strict=False), start=1):
            convolution = nn.Conv2d(narrow, wide, 4, 2 if number < n_layers else 1, 2)
            part = nn.Sequential(convolution, nn.BatchNorm2d(wide), nn.LeakyReLU(0.2, inplace=True))
            self.add_module(f"model{number}", part)
        self.add_module(f"model{n_layers + 1}", nn.Sequential(nn.Conv2d(widths[-1], 1, 4, 1, 2)))

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        features = []
        for part in self.children():
            x = part(x)
            features.append(x)
        return [DiscriminatorOutput(x, features[:-1])]

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill the weights with PyTorch's own distribution."""
        init_uniform(self.modules(), generator)


class AOTDiscriminator(nn.Module):
    """Tell real from generated (N,input_nc,H,W) by patches of 70x70 pixels: logits (N,1,h,w), h = H/8 - 2.

    A PatchGAN with spectral norm and no bias; what makes it AOT-GAN's is the soft mask it is trained to see.
    """

    def __init__(self, input_nc: int, ndf: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        narrow = input_nc
        for factor, stride in ((1, 2), (2, 2), (4, 2), (8, 1)):
            layers += [SpectralConv2d(narrow, factor * ndf, 4, stride), nn.LeakyReLU(0.2, inplace=True)]
            narrow = factor * ndf
        self.conv = nn.Sequential(*layers, nn.Conv2d(narrow, 1, 4, padding=1))

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        return run_layers(self.conv, x)


class SNPatchDiscriminator(nn.Module):
    """Tell real from generated (N,input_nc,H,W), image and mask: logits (N,4*ndf,H/64,W/64), one a channel and patch.

    Six 5x5 convolutions with spectral norm, each halving the size; the last one's leaky outputs are the logits.
    """

    def __init__(self, input_nc: int, ndf: int = 64) -> None:
        super().__init__()
        widths = [input_nc, *(ndf * factor for factor in _SN_WIDTHS)]
        layers: list[nn.Module] = []
        for narrow, wide in zip(widths, widths[1:], strict=False):
            layers += [SpectralConv2d(narrow, wide, 5, 2, 2, bias=True), nn.LeakyReLU(0.2, inplace=True)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        (output,) = run_layers(self.model, x)
        return [DiscriminatorOutput(output.logits, output.features[:-1])]


@DISCRIMINATORS.register("lama", options=LaMaDiscriminatorOptions)
def lama(options: LaMaDiscriminatorOptions, input_nc: int) -> LaMaDiscriminator:
    """LaMa's PatchGAN, four layers and features to match (Suvorov et al. 2021)."""
    return LaMaDiscriminator(input_nc, options.ndf, options.n_layers_D)


@DISCRIMINATORS.register("aot_gan", options=WidthOptions)
def aot_gan(options: WidthOptions, input_nc: int) -> AOTDiscriminator:
    """AOT-GAN's PatchGAN with spectral norm (Zeng et al. 2021)."""
    return AOTDiscriminator(input_nc, options.ndf)


@DISCRIMINATORS.register("sn_patchgan", options=WidthOptions)
def sn_patchgan(options: WidthOptions, input_nc: int) -> SNPatchDiscriminator:
    """DeepFillv2's SN-PatchGAN, which sees image and mask (Yu et al. 2019)."""
    return SNPatchDiscriminator(input_nc, options.ndf)
