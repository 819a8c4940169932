"""RDTN: a light RDN that enlarges by transposed convolutions.

889,923 parameters are reported for 5 blocks of 4 layers. This is one of the arrangements that have exactly so many
for RGB at x4; of those with round widths it computes least at high resolution: 64 filters, growth 32, 7x7 at the
beginning, one 3x3 before the global residual, two 4x4 transposed convolutions of stride 2, 5x5 at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import EnlargerOptions
from models.networks.ranges import UnitRange
from models.networks.rdn import ResidualDenseBlock
from models.networks.reach import receptive_field
from models.networks.subpixel import factors
from util.option import option


@dataclass(frozen=True)
class RDTNOptions(EnlargerOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(5, "dense blocks of the generator", scope="identity", minimum=1)
    n_dense: int = option(4, "layers of a dense block", scope="identity", minimum=1)
    growth: int = option(32, "filters that each layer of a dense block adds", scope="identity", minimum=1)


class RDTN(UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W), any H and W; UserError for a scale it has not."""

    def __init__(self, input_nc: int, output_nc: int, options: RDTNOptions) -> None:
        super().__init__()
        ngf, steps = options.ngf, factors(options.scale, "rdtn")
        self.scale = options.scale
        deep = 4 + options.n_blocks * options.n_dense
        upwards = [number for step in steps for number in (1, -step)]
        self.receptive_field = receptive_field([deep, *upwards, 2], self.scale)
        self.head = nn.Conv2d(input_nc, ngf, 7, padding=3)
        blocks = (ResidualDenseBlock(ngf, options.growth, options.n_dense) for _ in range(options.n_blocks))
        self.body = nn.Sequential(*blocks, nn.Conv2d(ngf, ngf, 3, padding=1))
        self.upscale = nn.Sequential(*(layer for step in steps for layer in (_transposed(ngf, step), nn.ReLU())))
        self.output = nn.Conv2d(ngf, output_nc, 5, padding=2)

    def published(self, x: Tensor) -> Tensor:
        shallow = self.head(x)
        return self.output(self.upscale(shallow + self.body(shallow)))


def _transposed(channels: int, step: int) -> nn.ConvTranspose2d:
    """Return an enlargement whose kernels overlap by two pixels, so that they leave no grid."""
    return nn.ConvTranspose2d(channels, channels, step + 2, step, padding=1)


@GENERATORS.register("rdtn", options=RDTNOptions)
def rdtn(options: RDTNOptions, input_nc: int, output_nc: int) -> RDTN:
    """RDTN: a light RDN, 5 dense blocks of 4 layers, enlarged by transposed convolutions."""
    return RDTN(input_nc, output_nc, options)
