"""SRCNN (Dong et al. 2014, arXiv:1501.00092): three convolutions on the bicubic enlargement."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.bicubic import BICUBIC_REACH, Bicubic
from models.networks.common import EnlargerOptions
from models.networks.ranges import UnitRange
from models.networks.reach import receptive_field
from util.option import option

KERNELS = ("9-1-5", "9-3-5", "9-5-5")


@dataclass(frozen=True)
class SRCNNOptions(EnlargerOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    srcnn_kernels: str = option("9-1-5", "kernel sizes of SRCNN's three layers", scope="identity", choices=KERNELS)


class SRCNN(UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W), any H and W of at least 2 pixels.

    The enlargement is a part of it; with ``scale`` 1 it takes images that are enlarged, or damaged, already. Borders
    are replicated, as the authors' demo does.
    """

    def __init__(self, input_nc: int, output_nc: int, ngf: int = 64, kernels: str = "9-1-5", scale: int = 1) -> None:
        super().__init__()
        sizes, narrow = [int(size) for size in kernels.split("-")], max(1, ngf // 2)
        reach = [size // 2 for size in sizes]
        self.scale = scale
        self.receptive_field = receptive_field([BICUBIC_REACH * (scale > 1), -scale, *reach], scale)
        self.bicubic = Bicubic(scale)
        self.conv1 = _convolution(input_nc, ngf, sizes[0])
        self.conv2 = _convolution(ngf, narrow, sizes[1])
        self.conv3 = _convolution(narrow, output_nc, sizes[2])

    def published(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv1(self.bicubic(x)))
        return self.conv3(torch.relu(self.conv2(y)))

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Gaussian weights of 0.001 and no bias, as in the paper."""
        for layer in (self.conv1, self.conv2, self.conv3):
            nn.init.normal_(layer.weight.data, 0.0, 0.001, generator=generator)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias.data)


def _convolution(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, padding_mode="replicate")


@GENERATORS.register("srcnn", options=SRCNNOptions)
def srcnn(options: SRCNNOptions, input_nc: int, output_nc: int) -> SRCNN:
    """SRCNN: three layers on the bicubic enlargement (Dong et al. 2014)."""
    return SRCNN(input_nc, output_nc, options.ngf, options.srcnn_kernels, options.scale)
