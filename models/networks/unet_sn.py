"""Real-ESRGAN's discriminator: a U-Net with spectral norm that judges every pixel (arXiv:2107.10833)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import DISCRIMINATORS
from models.networks.common import PlainOptions
from models.networks.initialise import init_uniform
from models.networks.outputs import DiscriminatorOutput
from util.option import option


@dataclass(frozen=True)
class UnetSNOptions(PlainOptions):
    ndf: int = option(64, "filters of the discriminator's first layer", scope="identity", minimum=1)


class SpectralConv2d(nn.Module):
    """A convolution without bias whose weight is divided by its largest singular value (Miyato et al. 2018).

    Its tensors are named as PyTorch's first ``spectral_norm`` named them: weight_orig, and the two vectors of the power
    iteration, which takes one step in each forward of training. Unlike there it can be copied at any time.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, size, size))
        self.register_buffer("weight_u", torch.empty(outputs))
        self.register_buffer("weight_v", torch.empty(inputs * size * size))
        nn.init.kaiming_uniform_(self.weight_orig, 5**0.5)
        self.settle()

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            matrix = self.weight_orig.flatten(1)
            if self.training:
                self._step(matrix)
            u, v = self.weight_u.clone(), self.weight_v.clone()  # a next forward may move them before the backward
            weight = self.weight_orig / torch.dot(u, matrix @ v)
        return F.conv2d(x, weight.to(x.dtype), stride=self.stride, padding=1)

    @torch.no_grad()
    def _step(self, matrix: Tensor) -> None:
        self.weight_v.copy_(F.normalize(matrix.t() @ self.weight_u, dim=0, eps=1e-12))
        self.weight_u.copy_(F.normalize(matrix @ self.weight_v, dim=0, eps=1e-12))

    def settle(self) -> None:
        """Begin the power iteration anew, after the weight was filled."""
        self.weight_u.fill_(len(self.weight_u) ** -0.5)
        for _ in range(15):
            self._step(self.weight_orig.detach().flatten(1))


class UnetSNDiscriminator(nn.Module):
    """Judge (N,input_nc,H,W), H and W at least 8, pixel by pixel: logits (N,1,H,W)."""

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
    """Real-ESRGAN's U-Net with spectral norm: one verdict a pixel (Wang et al. 2021)."""
    return UnetSNDiscriminator(input_nc, options.ndf)
