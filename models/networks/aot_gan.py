"""AOT-GAN's generator: dilated convolutions of many rates, mixed by a gate (Zeng et al. 2021, arXiv:2104.01431)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import PlainOptions
from models.networks.holes import fill_holes, image_channels, split_holes
from models.networks.initialise import init_weights
from models.networks.mirrored import MirrorPad
from util.option import option
from util.precision import widened

_WHITE = 1.0
_LAST_GAIN = 0.1  # a loud first image is unlearned by silencing ReLUs, some for good


@dataclass(frozen=True)
class AOTOptions(PlainOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(8, "AOT blocks of the generator", scope="identity", minimum=1)
    aot_rates: tuple[int, ...] = option(
        (1, 2, 4, 8), "dilations side by side in each AOT block", scope="identity", minimum=1
    )


class AOTBlock(nn.Module):
    """x (1 - gate) + f(x) gate on (N,channels,H,W); f looks at several distances at once."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, channels: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        width = max(1, channels // len(rates))
        for number, rate in enumerate(rates):
            branch = (MirrorPad(rate), nn.Conv2d(channels, width, 3, dilation=rate), nn.ReLU(inplace=True))
            self.add_module(f"block{number:02}", nn.Sequential(*branch))
        self.fuse = nn.Sequential(MirrorPad(1), nn.Conv2d(width * len(rates), channels, 3))
        self.gate = nn.Sequential(MirrorPad(1), nn.Conv2d(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        *branches, fuse, gate = self.children()
        share = torch.sigmoid(standardised(gate(x)))
        return x * (1 - share) + fuse(torch.cat([branch(x) for branch in branches], 1)) * share


def standardised(x: Tensor) -> Tensor:
    """Return each map of (N,C,H,W) with mean -5 and standard deviation 10, in the constants of the published code."""
    with torch.autocast(x.device.type, enabled=False):
        wide = widened(x)
        deviation = wide.std((2, 3), keepdim=True) + 1e-9
        return (5 * (2 * (wide - wide.mean((2, 3), keepdim=True)) / deviation - 1)).to(x.dtype)


class Enlarge(nn.Module):
    """(N,inputs,H,W) -> (N,outputs,2H,2W): bilinear between the corner pixels, and a convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))


class AOTGenerator(nn.Module):
    """Image and mask (N,input_nc,H,W) -> image (N,output_nc,H,W) in [-1,1]; H and W divide by 4.

    The last channel is the mask, 1 in holes; what the image holds there is not read: the network is shown white. Its
    gates depend on the whole image, so it cannot be cut into tiles. UserError unless input_nc is output_nc + 1.
    """

    size_multiple = 4
    scale = 1

    def __init__(
        self, input_nc: int, output_nc: int, ngf: int = 64, n_blocks: int = 8, rates: tuple[int, ...] = (1, 2, 4, 8)
    ) -> None:
        super().__init__()
        image_channels(input_nc, output_nc, "aot_gan")
        self.encoder = nn.Sequential(
            *(MirrorPad(3), nn.Conv2d(input_nc, ngf, 7), nn.ReLU(inplace=True)),
            *(nn.Conv2d(ngf, 2 * ngf, 4, 2, 1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(2 * ngf, 4 * ngf, 4, 2, 1), nn.ReLU(inplace=True)),
        )
        self.middle = nn.Sequential(*(AOTBlock(4 * ngf, rates) for _ in range(n_blocks)))
        self.decoder = nn.Sequential(
            *(Enlarge(4 * ngf, 2 * ngf), nn.ReLU(inplace=True), Enlarge(2 * ngf, ngf), nn.ReLU(inplace=True)),
            nn.Conv2d(ngf, output_nc, 3, padding=1),
        )

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """He et al. 2015, the last layer small. The paper's own, of deviation 0.02, vanish on the way."""
        init_weights(self, "kaiming", generator=generator)
        for parameter in self.decoder[-1].parameters():
            parameter.data.mul_(_LAST_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        image, mask = split_holes(x)
        shown = torch.cat([fill_holes(image, mask, _WHITE), mask], 1)
        return self.decoder(self.middle(self.encoder(shown))).tanh()


@GENERATORS.register("aot_gan", options=AOTOptions)
def aot_gan(options: AOTOptions, input_nc: int, output_nc: int) -> AOTGenerator:
    """AOT-GAN, inpainting by aggregated contextual transformations (Zeng et al. 2021)."""
    return AOTGenerator(input_nc, output_nc, options.ngf, options.n_blocks, options.aot_rates)
