"""Real-ESRGAN's discriminator: a U-Net with spectral norm with a logit for every pixel (arXiv:2107.10833)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import DISCRIMINATORS
from models.networks.common import PlainOptions
from models.networks.initialise import init_uniform
from models.networks.outputs import DiscriminatorOutput
from models.networks.spectral import SpectralConv2d
from util.option import option


@dataclass(frozen=True)
class UnetSNOptions(PlainOptions):
    ndf: int = option(64, "filters of the discriminator's first layer", scope="identity", minimum=1)


class UnetSNDiscriminator(nn.Module):
    """Tell real from generated (N,input_nc,H,W), H and W at least 8, pixel by pixel: logits (N,1,H,W)."""

    def __init__(self, input_nc: int, ndf: int = 64) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(input_nc, ndf, 3, padding=1)
        self.conv1 = SpectralConv2d(ndf, 2 * ndf, 4, 2)
        self.conv2 = SpectralConv2d(2 * ndf, 4 * ndf, 4, 2)
        self.conv3 = SpectralConv2d(4 * ndf, 8 * ndf, 4, 2)
        self.conv4 = SpectralConv2d(8 * ndf, 4 * ndf, 3)
        self.conv5 = SpectralConv2d(4 * ndf, 2 * ndf, 3)
        self.conv6 = SpectralConv2d(2 * ndf, ndf, 3)
        self.conv7 = SpectralConv2d(ndf, ndf, 3)
        self.conv8 = SpectralConv2d(ndf, ndf, 3)
        self.conv9 = nn.Conv2d(ndf, 1, 3, padding=1)

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        kept = []
        for convolution in (self.conv0, self.conv1, self.conv2, self.conv3):
            x = F.leaky_relu(convolution(x), 0.2)
            kept.append(x)
        for convolution, skip in zip((self.conv4, self.conv5, self.conv6), kept[2::-1], strict=True):
            large = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = F.leaky_relu(convolution(large), 0.2) + skip
            kept.append(x)
        for convolution in (self.conv7, self.conv8):
            x = F.leaky_relu(convolution(x), 0.2)
            kept.append(x)
        return [DiscriminatorOutput(self.conv9(x), kept)]

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill the weights with PyTorch's own distribution."""
        init_uniform(self.modules(), generator)


@DISCRIMINATORS.register("unet_sn", options=UnetSNOptions)
def unet_sn(options: UnetSNOptions, input_nc: int) -> UnetSNDiscriminator:
    """Real-ESRGAN's U-Net with spectral norm: one logit a pixel (Wang et al. 2021)."""
    return UnetSNDiscriminator(input_nc, options.ndf)
