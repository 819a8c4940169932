"""The compact VGG-like network of Real-ESRGAN, for speed (Wang et al. 2021, arXiv:2107.10833)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import EnlargerOptions
from models.networks.ranges import UnitRange
from models.networks.reach import receptive_field
from models.networks.subpixel import added
from util.option import option


@dataclass(frozen=True)
class CompactOptions(EnlargerOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_convs: int = option(16, "3x3 layers between the first and the last", scope="identity", minimum=0)


class Compact(UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W), any H and W: details on repeated pixels."""

    def __init__(self, input_nc: int, output_nc: int, ngf: int = 64, n_convs: int = 16, scale: int = 1) -> None:
        super().__init__()
        self.scale = scale
        self.receptive_field = receptive_field([2 + n_convs, -scale], scale)
        layers: list[nn.Module] = [nn.Conv2d(input_nc, ngf, 3, padding=1), nn.PReLU(ngf)]
        for _ in range(n_convs):
            layers += [nn.Conv2d(ngf, ngf, 3, padding=1), nn.PReLU(ngf)]
        self.body = nn.ModuleList([*layers, nn.Conv2d(ngf, scale * scale * output_nc, 3, padding=1)])

    def published(self, x: Tensor) -> Tensor:
        details = x
        for layer in self.body:
            details = layer(details)
        return added(F.interpolate(x, scale_factor=self.scale, mode="nearest"), F.pixel_shuffle(details, self.scale))


@GENERATORS.register("compact", options=CompactOptions)
def compact(options: CompactOptions, input_nc: int, output_nc: int) -> Compact:
    """Real-ESRGAN's compact network: plain convolutions at low resolution (Wang et al. 2021)."""
    return Compact(input_nc, output_nc, options.ngf, options.n_convs, options.scale)
