"""FSRCNN (Dong et al. 2016, arXiv:1608.00367): small maps at low resolution, enlarged by the last layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import EnlargerOptions
from models.networks.ranges import UnitRange
from util.option import option


@dataclass(frozen=True)
class FSRCNNOptions(EnlargerOptions):
    ngf: int = option(56, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_shrunk: int = option(12, "filters of the layers between shrinking and expanding", scope="identity", minimum=1)
    n_mapping: int = option(4, "3x3 layers between shrinking and expanding", scope="identity", minimum=0)


@dataclass(frozen=True)
class FSRCNNSmallOptions(FSRCNNOptions):
    ngf: int = option(32, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_shrunk: int = option(5, "filters of the layers between shrinking and expanding", scope="identity", minimum=1)
    n_mapping: int = option(1, "3x3 layers between shrinking and expanding", scope="identity", minimum=0)


class FSRCNN(UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W), any H and W."""

    def __init__(
        self, input_nc: int, output_nc: int, ngf: int = 56, shrunk: int = 12, mapping: int = 4, scale: int = 1
    ) -> None:
        super().__init__()
        self.scale = scale
        self.receptive_field = 2 + mapping + (scale + 3) // scale
        middle: list[nn.Module] = [nn.Conv2d(ngf, shrunk, 1), nn.PReLU(shrunk)]
        for _ in range(mapping):
            middle += [nn.Conv2d(shrunk, shrunk, 3, padding=1), nn.PReLU(shrunk)]
        self.first_part = nn.Sequential(nn.Conv2d(input_nc, ngf, 5, padding=2), nn.PReLU(ngf))
        self.mid_part = nn.Sequential(*middle, nn.Conv2d(shrunk, ngf, 1), nn.PReLU(ngf))
        self.last_part = nn.ConvTranspose2d(ngf, output_nc, 9, scale, padding=4, output_padding=scale - 1)

    def published(self, x: Tensor) -> Tensor:
        return self.last_part(self.mid_part(self.first_part(x)))

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Convolutions for PReLU (He et al. 2015) by their outputs, the enlarging layer by 0.001, no bias."""
        for layer in (*self.first_part, *self.mid_part, self.last_part):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                fan_out = layer.out_channels * layer.weight[0, 0].numel()
                std = 0.001 if layer is self.last_part else math.sqrt(2 / fan_out)
                nn.init.normal_(layer.weight.data, 0.0, std, generator=generator)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias.data)


@GENERATORS.register("fsrcnn", options=FSRCNNOptions)
def fsrcnn(options: FSRCNNOptions, input_nc: int, output_nc: int) -> FSRCNN:
    """FSRCNN(56,12,4) (Dong et al. 2016)."""
    return FSRCNN(input_nc, output_nc, options.ngf, options.n_shrunk, options.n_mapping, options.scale)


@GENERATORS.register("fsrcnn_s", options=FSRCNNSmallOptions)
def fsrcnn_s(options: FSRCNNSmallOptions, input_nc: int, output_nc: int) -> FSRCNN:
    """FSRCNN(32,5,1), the small one, for video in real time (Dong et al. 2016)."""
    return FSRCNN(input_nc, output_nc, options.ngf, options.n_shrunk, options.n_mapping, options.scale)
