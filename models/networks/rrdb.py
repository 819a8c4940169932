"""RRDBNet, the generator of ESRGAN (arXiv:1809.00219) and Real-ESRGAN (arXiv:2107.10833)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import EnlargerOptions
from models.networks.initialise import init_residual, init_uniform
from models.networks.ranges import UnitRange
from models.networks.reach import receptive_field
from models.networks.subpixel import factors
from util.option import option

_RESIDUAL = 0.2  # what each level of residuals counts
_LAYERS = 5  # convolutions of a dense block


@dataclass(frozen=True)
class RRDBOptions(EnlargerOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(23, "blocks of three dense blocks each", scope="identity", minimum=1)
    growth: int = option(32, "filters that each layer of a dense block adds", scope="identity", minimum=1)


class DenseBlock(nn.Module):
    """x + 0.2 f(x) on (N,channels,H,W); every convolution sees the outputs of all before it."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for number in range(_LAYERS):
            outputs = growth if number < _LAYERS - 1 else channels
            setattr(self, f"conv{number + 1}", nn.Conv2d(channels + number * growth, outputs, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        first, *middle, last = self.children()
        seen = [x, F.leaky_relu(first(x), 0.2)]
        for convolution in middle:
            seen.append(F.leaky_relu(convolution(torch.cat(seen, 1)), 0.2))
        return x + _RESIDUAL * last(torch.cat(seen, 1))


class RRDB(nn.Module):
    """x + 0.2 f(x) on (N,channels,H,W): three dense blocks, residual in residual."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(channels, growth)
        self.rdb2 = DenseBlock(channels, growth)
        self.rdb3 = DenseBlock(channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        return x + _RESIDUAL * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W); H and W divide by 4 / scale.

    The network itself always enlarges by 4; for less, squares of pixels become channels before it. UserError if
    ``scale`` is not 1, 2 or 4.
    """

    def __init__(
        self, input_nc: int, output_nc: int, ngf: int = 64, n_blocks: int = 23, growth: int = 32, scale: int = 4
    ) -> None:
        super().__init__()
        factors(scale, "rrdb", (1, 2, 4))
        self.scale, self.size_multiple = scale, 4 // scale
        reach = [2 + 3 * _LAYERS * n_blocks, -2, 1, -2, 3]
        self.receptive_field = receptive_field(reach, scale, self.size_multiple)
        self.conv_first = nn.Conv2d(input_nc * self.size_multiple**2, ngf, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(ngf, growth) for _ in range(n_blocks)))
        self.conv_body = nn.Conv2d(ngf, ngf, 3, padding=1)
        self.conv_up1 = nn.Conv2d(ngf, ngf, 3, padding=1)
        self.conv_up2 = nn.Conv2d(ngf, ngf, 3, padding=1)
        self.conv_hr = nn.Conv2d(ngf, ngf, 3, padding=1)
        self.conv_last = nn.Conv2d(ngf, output_nc, 3, padding=1)

    def published(self, x: Tensor) -> Tensor:
        if self.size_multiple > 1:
            x = F.pixel_unshuffle(x, self.size_multiple)
        y = self.conv_first(x)
        y = y + self.conv_body(self.body(y))
        for convolution in (self.conv_up1, self.conv_up2):
            y = F.leaky_relu(convolution(F.interpolate(y, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(y), 0.2))

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """PyTorch's own distribution; in the blocks a tenth of He et al. 2015."""
        init_uniform(self.modules(), generator)
        init_residual(self.body, generator)


@GENERATORS.register("rrdb", options=RRDBOptions)
def rrdb(options: RRDBOptions, input_nc: int, output_nc: int) -> RRDBNet:
    """RRDBNet, the generator of ESRGAN and Real-ESRGAN (Wang et al. 2018)."""
    return RRDBNet(input_nc, output_nc, options.ngf, options.n_blocks, options.growth, options.scale)
