"""ResUNet: a U-Net of residual units (Zhang et al. 2018, arXiv:1711.10684).

Units are those of He et al. 2016 (arXiv:1603.05027), norm and activation before each convolution. Unlike in the paper
widths change in a convolution of their own between the units, so that every shortcut is the identity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import NetworkOptions
from models.networks.initialise import init_uniform
from models.networks.norms import NormLayer, norm_layer
from models.networks.stages import Join, Keep, Stage, run_stages
from models.networks.upsampling import Step, around, doubled, doubling, halved, receptive_field
from util.option import option


@dataclass(frozen=True)
class ResUnetOptions(NetworkOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    res_levels: int = option(3, "how often a ResUNet halves sizes", "identity", minimum=1, maximum=7)
    res_units: int = option(1, "residual units of a ResUNet at each size, down and up", "identity", minimum=1)


class ResidualUnit(nn.Module):
    """x + f(x) on (N,width,H,W)."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, width: int, norm: NormLayer) -> None:
        super().__init__()
        halves = ((norm(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)) for _ in range(2))
        self.layers = nn.Sequential(*(layer for half in halves for layer in half))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)

    def stages(self) -> list[Stage]:
        """Return the unit as a flat list."""
        start = Keep()
        return [start, *self.layers[:3], Keep(), *self.layers[3:], Join(start)]


class ResUnet(nn.Module):
    """Translate (N,input_nc,H,W) in [-1,1] to (N,output_nc,H,W) in [-1,1]; H and W divide by 2**levels."""

    scale = 1

    def __init__(self, input_nc: int, output_nc: int, ngf: int, levels: int, units: int, norm: str) -> None:
        super().__init__()
        self.size_multiple = 2**levels
        steps = list(_steps(levels, units))
        self.receptive_field = receptive_field(steps, self.size_multiple)
        layer, widths = norm_layer(norm), [ngf * 2**level for level in range(levels + 1)]
        pairs = list(zip(widths, widths[1:], strict=False))
        self.head = nn.Conv2d(input_nc, ngf, 3, padding=1)
        self.down = nn.ModuleList(_units(width, units, layer) for width in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 3, 2, 1) for fine, coarse in pairs)
        self.enlarge = nn.ModuleList(doubling("resize", coarse, fine, 3, bias=True) for fine, coarse in pairs)
        self.merge = nn.ModuleList(nn.Conv2d(2 * fine, fine, 1) for fine, _ in pairs)
        self.up = nn.ModuleList(_units(fine, units, layer) for fine, _ in pairs)
        self.tail = nn.Sequential(layer(ngf), nn.ReLU(), nn.Conv2d(ngf, output_nc, 3, padding=1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return run_stages(self._stages(flat=False), x)

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill as PyTorch does, which a network without norms can learn from."""
        init_uniform(self.modules(), generator)

    def stages(self) -> list[Stage]:
        """Return the layers as a flat list."""
        return list(self._stages(flat=True))

    def _stages(self, flat: bool) -> Iterator[Stage]:
        """Yield layers, skips and units; ``flat`` takes the units apart too."""
        skips = [Keep() for _ in self.shrink]
        yield self.head
        for number, units in enumerate(self.down):
            yield from _opened(units, flat)
            if number < len(skips):
                yield from (skips[number], self.shrink[number])
        for number in reversed(range(len(skips))):
            yield from self.enlarge[number].children()
            yield from (Join(skips[number], channels=True), self.merge[number])
            yield from _opened(self.up[number], flat)
        yield from self.tail


def _units(width: int, count: int, norm: NormLayer) -> nn.Sequential:
    return nn.Sequential(*(ResidualUnit(width, norm) for _ in range(count)))


def _opened(units: nn.Module, flat: bool) -> Iterator[Stage]:
    for unit in units.children():
        yield from unit.stages() if flat and isinstance(unit, ResidualUnit) else [unit]


def _steps(levels: int, units: int) -> Iterator[Step]:
    """Yield how far each layer of the longest way through the network looks, from input to output."""
    yield around(1)
    for _ in range(levels):
        yield from (around(2 * units), halved(3))
    yield around(2 * units)
    for _ in range(levels):
        yield from (doubled("resize", 3), around(2 * units))
    yield around(1)


@GENERATORS.register("resunet", options=ResUnetOptions)
def resunet(options: ResUnetOptions, input_nc: int, output_nc: int) -> ResUnet:
    """U-Net of residual units, any depth (Zhang et al. 2018)."""
    return ResUnet(input_nc, output_nc, options.ngf, options.res_levels, options.res_units, options.norm)
