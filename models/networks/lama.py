"""LaMa, inpainting of large holes by fast Fourier convolutions (Suvorov et al. 2021, arXiv:2109.07161)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import PlainOptions
from models.networks.fourier import FourierUnit
from models.networks.holes import UnitInpainter, image_channels
from models.networks.mirrored import MirroredConv2d, MirrorPad, crop_to, mirror_up
from util.option import option

_HALVINGS = 3
_WIDEST = 1024  # channels
Split = tuple[int, int]  # channels that see their neighbourhood, and channels that see the whole map


@dataclass(frozen=True)
class LaMaOptions(PlainOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(9, "residual blocks of the generator", scope="identity", minimum=1)


@dataclass(frozen=True)
class LaMaBigOptions(LaMaOptions):
    n_blocks: int = option(18, "residual blocks of the generator", scope="identity", minimum=1)


class SpectralTransform(nn.Module):
    """(N,channels,H,W) -> the same: the map and its convolved spectrum, between two 1x1 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        mix = nn.Conv2d(channels, half, 1, bias=False)
        self.conv1 = nn.Sequential(mix, nn.BatchNorm2d(half), nn.ReLU(inplace=True))
        self.fu = FourierUnit(half)
        self.conv2 = nn.Conv2d(half, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        return self.conv2(y + self.fu(y))


class FourierConvolution(nn.Module):
    """Every path between the local and the global channels; only from global to global it is the spectrum's."""

    def __init__(self, inputs: Split, outputs: Split, size: int, stride: int = 1, *, padded: bool = True) -> None:
        super().__init__()
        self.inputs = inputs
        for first, source in zip("lg", inputs, strict=True):
            for second, target in zip("lg", outputs, strict=True):
                spectral = first == second == "g"
                if source and target:
                    path = SpectralTransform(source) if spectral else MirroredConv2d(
                        source, target, size, stride, padded=padded
                    )  # fmt: skip
                    self.add_module(f"conv{first}2{second}", path)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the local channels of the output and, where there are any, the global ones."""
        found: dict[str, Tensor] = {}
        parts = dict(zip("lg", x.split(self.inputs, 1), strict=True))
        for name, path in self.named_children():
            source, target = name[4], name[-1]
            y = path(parts[source])
            found[target] = found[target] + y if target in found else y
        return [found[target] for target in "lg" if target in found]


class FourierLayer(nn.Module):
    """A :class:`FourierConvolution`, batch norm and ReLU; the local channels stand before the global ones."""

    def __init__(self, inputs: Split, outputs: Split, size: int = 3, stride: int = 1, *, padded: bool = True) -> None:
        super().__init__()
        self.ffc = FourierConvolution(inputs, outputs, size, stride, padded=padded)
        self.bn_l = nn.BatchNorm2d(outputs[0])
        self.bn_g = nn.BatchNorm2d(outputs[1]) if outputs[1] else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        parts = zip((self.bn_l, self.bn_g), self.ffc(x), strict=False)
        return torch.cat([torch.relu(norm(part)) for norm, part in parts], 1)


class FourierBlock(nn.Module):
    """x + f(x): two layers on (N,sum(channels),H,W)."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, channels: Split) -> None:
        super().__init__()
        self.conv1 = FourierLayer(channels, channels)
        self.conv2 = FourierLayer(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


class LaMa(UnitInpainter):
    """Image and mask (N,input_nc,H,W) -> image (N,output_nc,H,W), any H and W.

    The last channel is the mask, 1 in holes; what the image holds there is not read. What does not divide by 8 is
    mirrored below and to the right. Every pixel depends on all others, so it cannot be cut into tiles. UserError unless
    input_nc is output_nc + 1.
    """

    file_prefix = "generator."  # of its keys in exported weights, by which other programs know a LaMa

    def __init__(self, input_nc: int, output_nc: int, ngf: int = 64, n_blocks: int = 9) -> None:
        super().__init__()
        image_channels(input_nc, output_nc, "lama")
        widths = [min(_WIDEST, ngf * 2**i) for i in range(_HALVINGS + 1)]
        split = widths[-1] - int(0.75 * widths[-1]), int(0.75 * widths[-1])
        layers: list[nn.Module] = [MirrorPad(3), FourierLayer((input_nc, 0), (ngf, 0), 7, padded=False)]
        for narrow, wide in zip(widths[:-1], [*((w, 0) for w in widths[1:-1]), split], strict=True):
            layers.append(FourierLayer((narrow, 0), wide, stride=2))
        layers += [FourierBlock(split) for _ in range(n_blocks)]
        layers.append(nn.Identity())  # where the published network joins its two kinds of channels
        for wide, narrow in zip(widths[:0:-1], widths[-2::-1], strict=True):
            layers += [nn.ConvTranspose2d(wide, narrow, 3, 2, 1, 1), nn.BatchNorm2d(narrow), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers, MirrorPad(3), nn.Conv2d(ngf, output_nc, 7), nn.Sigmoid())

    def published_passes(self, x: Tensor) -> tuple[Tensor]:
        height, width = x.shape[-2:]
        return (crop_to(self.model(mirror_up(x, 2**_HALVINGS)), height, width),)


@GENERATORS.register("lama", options=LaMaOptions)
def lama(options: LaMaOptions, input_nc: int, output_nc: int) -> LaMa:
    """LaMa-Fourier, inpainting: 9 blocks of fast Fourier convolutions (Suvorov et al. 2021)."""
    return LaMa(input_nc, output_nc, options.ngf, options.n_blocks)


@GENERATORS.register("lama_big", options=LaMaBigOptions)
def lama_big(options: LaMaBigOptions, input_nc: int, output_nc: int) -> LaMa:
    """Big LaMa, inpainting: 18 blocks of fast Fourier convolutions (Suvorov et al. 2021)."""
    return LaMa(input_nc, output_nc, options.ngf, options.n_blocks)
