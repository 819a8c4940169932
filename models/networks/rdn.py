"""RDN (Zhang et al. 2018, arXiv:1802.08797): dense blocks whose outputs are all kept to the end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import EnlargerOptions
from models.networks.ranges import UnitRange
from models.networks.reach import receptive_field
from models.networks.subpixel import factors, subpixel_layers, subpixel_reach
from util.option import option


@dataclass(frozen=True)
class RDNOptions(EnlargerOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(16, "dense blocks of the generator", scope="identity", minimum=1)
    n_dense: int = option(8, "layers of a dense block", scope="identity", minimum=1)
    growth: int = option(64, "filters that each layer of a dense block adds", scope="identity", minimum=1)


class DenseLayer(nn.Module):
    """(N,inputs,H,W) -> (N,inputs+growth,H,W): its input, and what it makes of it."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, torch.relu(self.conv(x))], 1)


class ResidualDenseBlock(nn.Module):
    """x + f(x) on (N,channels,H,W); f sees all its layers' outputs at once."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, channels: int, growth: int, n_dense: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DenseLayer(channels + i * growth, growth) for i in range(n_dense)))
        self.lff = nn.Conv2d(channels + n_dense * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.lff(self.layers(x))


class RDN(UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W), any H and W; UserError for a scale it has not."""

    def __init__(self, input_nc: int, output_nc: int, options: RDNOptions) -> None:
        super().__init__()
        ngf, n_blocks, steps = options.ngf, options.n_blocks, factors(options.scale, "rdn")
        self.scale = options.scale
        deep = 3 + n_blocks * options.n_dense
        self.receptive_field = receptive_field([deep, *subpixel_reach(steps), 1], self.scale)
        self.sfe1 = nn.Conv2d(input_nc, ngf, 3, padding=1)
        self.sfe2 = nn.Conv2d(ngf, ngf, 3, padding=1)
        self.rdbs = nn.ModuleList(ResidualDenseBlock(ngf, options.growth, options.n_dense) for _ in range(n_blocks))
        self.gff = nn.Sequential(nn.Conv2d(n_blocks * ngf, ngf, 1), nn.Conv2d(ngf, ngf, 3, padding=1))
        self.upscale = nn.Sequential(*subpixel_layers(ngf, steps))
        self.output = nn.Conv2d(ngf, output_nc, 3, padding=1)

    def published(self, x: Tensor) -> Tensor:
        shallow = self.sfe1(x)
        y, kept = self.sfe2(shallow), []
        for block in self.rdbs:
            y = block(y)
            kept.append(y)
        return self.output(self.upscale(self.gff(torch.cat(kept, 1)) + shallow))


@GENERATORS.register("rdn", options=RDNOptions)
def rdn(options: RDNOptions, input_nc: int, output_nc: int) -> RDN:
    """RDN: 16 dense blocks of 8 layers (Zhang et al. 2018)."""
    return RDN(input_nc, output_nc, options)
