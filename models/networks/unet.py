"""U-Net generators with skip connections at every resolution (Isola et al. 2017, arXiv:1611.07004)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import TranslatorOptions
from models.networks.dropout import Dropout
from models.networks.norms import NormLayer, norm_layer, uses_bias
from models.networks.stages import Join, Keep, Stage
from models.networks.upsampling import doubled, doubling, halved, receptive_field
from util.option import option


@dataclass(frozen=True)
class UnetOptions(TranslatorOptions):
    """Nothing beyond what ResNets have too."""


@dataclass(frozen=True)
class AnyDepthOptions(TranslatorOptions):
    num_downs: int = option(
        8, "how often the U-Net halves sizes, which 2 to this power must divide", "identity", minimum=2, maximum=12
    )


class SkipBlock(nn.Module):
    """Halve the resolution, run ``inner``, double it again, and append the result to the input's channels.

    (N,outer,H,W) -> (N,2*outer,H,W). The leading LeakyReLU works in place, so the skip carries its output; the
    ReLU that follows the skip makes the two forms equal, and one activation per level is saved.
    """

    def __init__(
        self,
        outer: int,
        middle: int,
        inner: nn.Module | None,
        norm: NormLayer,
        bias: bool,
        dropout: bool,
        upsample: str = "transpose",
    ) -> None:
        super().__init__()
        wide = middle if inner is None else 2 * middle
        layers: list[nn.Module] = [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(outer, middle, 4, 2, 1, bias=bias)]
        if inner is not None:
            layers += [norm(middle), inner]
        layers += [nn.ReLU(inplace=True), doubling(upsample, wide, outer, 4, bias=bias), norm(outer)]
        if dropout:
            layers.append(Dropout(0.5))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        decoded = self.model(x)
        return torch.cat([x, decoded], 1)

    def stages(self) -> list[Stage]:
        """Return this level and those below as a flat list; the skip and the norms' inputs are stored."""
        skip, activation = Keep(), self.model[0]
        return [activation, skip, *_flat(list(self.model)[1:]), Join(skip, channels=True)]


def _flat(layers: list[nn.Module]) -> list[Stage]:
    """Return the layers with those of an inner level in its place, and a Keep after every convolution."""
    flat: list[Stage] = []
    for layer in layers:
        inner = layer.stages() if isinstance(layer, SkipBlock) else [layer]
        flat += list(layer) if isinstance(layer, nn.Sequential) else inner
        flat += [Keep()] if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Sequential) else []
    return flat


class UnetBody(nn.Module):
    """The outermost level: image -> features -> image in [-1,1]."""

    def __init__(self, input_nc: int, output_nc: int, ngf: int, inner: nn.Module, bias: bool, upsample: str) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(input_nc, ngf, 4, 2, 1, bias=bias),
            inner,
            nn.ReLU(inplace=True),
            doubling(upsample, 2 * ngf, output_nc, 4, bias=True),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class UnetGenerator(nn.Module):
    """Translate (N,input_nc,H,W) in [-1,1] to (N,output_nc,H,W) in [-1,1]; H and W divide by 2**num_downs.

    Args:
        num_downs: how often the resolution is halved, at least 2; 8 brings 256 pixels to 1.
        upsample: how it is doubled.
    """

    scale = 1
    test_norm = "batch"  # as published: each test image is normalised by its own statistics

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        num_downs: int,
        ngf: int = 64,
        norm: str = "batch",
        dropout: bool = True,
        upsample: str = "transpose",
    ) -> None:
        super().__init__()
        self.size_multiple = 2**num_downs
        steps = [halved(4)] * num_downs + [doubled(upsample, 4)] * num_downs
        self.receptive_field = receptive_field(steps, self.size_multiple)
        layer, bias = norm_layer(norm), uses_bias(norm)
        widths = [ngf, 2 * ngf, 4 * ngf] + [8 * ngf] * (num_downs - 3)
        block: nn.Module | None = None
        for level in reversed(range(1, num_downs)):
            drops = dropout and 4 <= level < num_downs - 1
            block = SkipBlock(widths[level - 1], widths[level], block, layer, bias, drops, upsample)
        assert block is not None
        self.model = UnetBody(input_nc, output_nc, ngf, block, bias, upsample)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def stages(self) -> list[Stage]:
        """Return all levels as a flat list."""
        return _flat(list(self.model.model))


@GENERATORS.register("unet_256", options=UnetOptions)
def unet_256(options: UnetOptions, input_nc: int, output_nc: int) -> UnetGenerator:
    """U-Net with 8 downsamplings, for sizes that divide by 256 (Isola et al. 2017)."""
    return _make(options, input_nc, output_nc, 8)


@GENERATORS.register("unet_128", options=UnetOptions)
def unet_128(options: UnetOptions, input_nc: int, output_nc: int) -> UnetGenerator:
    """U-Net with 7 downsamplings, for sizes that divide by 128 (Isola et al. 2017)."""
    return _make(options, input_nc, output_nc, 7)


@GENERATORS.register("unet", options=AnyDepthOptions)
def unet(options: AnyDepthOptions, input_nc: int, output_nc: int) -> UnetGenerator:
    """U-Net with --num_downs downsamplings; 8 and 7 are unet_256 and unet_128."""
    return _make(options, input_nc, output_nc, options.num_downs)


def _make(options: TranslatorOptions, input_nc: int, output_nc: int, num_downs: int) -> UnetGenerator:
    dropout = not options.no_dropout
    return UnetGenerator(input_nc, output_nc, num_downs, options.ngf, options.norm, dropout, options.upsample)
