"""DeepFillv2, inpainting by gated convolution, coarse to fine (Yu et al. 2019, arXiv:1806.03589).

The paper's code is TensorFlow; keys and computation are those of the PyTorch port nipponjo/deepfillv2-pytorch.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import PlainOptions
from models.networks.contextual_attention import ContextualAttention
from models.networks.gated import GatedConv2d, GatedDown, GatedUp, PlainConv2d
from models.networks.holes import fill_holes, image_channels, split_holes
from models.networks.initialise import init_weights
from util.option import option

_RATES = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16}  # dilations of the first convolutions between encoder and decoder
_GATED_GAIN = 1.7  # with 2 the first images are at the ends of tanh, with 1 they are flat
Layers = dict[str, nn.Module]


@dataclass(frozen=True)
class DeepFillOptions(PlainOptions):
    ngf: int = option(48, "filters of the generator's layers at half the size", scope="identity", minimum=1)


def _encoder(prefix: str, inputs: int, ngf: int, hidden: tuple[int, int]) -> Layers:
    """Return the layers (N,inputs,H,W) -> (N,2*ngf,H/4,W/4)."""
    half = max(1, ngf // 2)
    return {
        f"{prefix}conv1": GatedConv2d(inputs, half, 5),
        f"{prefix}down_block1": GatedDown(half, ngf, hidden[0]),
        f"{prefix}down_block2": GatedDown(ngf, 2 * ngf, hidden[1]),
    }


def _middle(prefix: str, ngf: int, rates: dict[int, int]) -> Layers:
    """Return numbered layers that keep (N,2*ngf,H/4,W/4)."""
    return {f"{prefix}conv_bn{number}": GatedConv2d(2 * ngf, 2 * ngf, rate=rate) for number, rate in rates.items()}


def _decoder(ngf: int, outputs: int) -> Layers:
    """Return the layers (N,2*ngf,H/4,W/4) -> (N,outputs,H,W) in [-1,1]."""
    half, quarter = max(1, ngf // 2), max(1, ngf // 4)
    return {
        "up_block1": GatedUp(2 * ngf, ngf, ngf),
        "up_block2": GatedUp(ngf, quarter, half),
        "conv_to_rgb": PlainConv2d(quarter, outputs),
        "tanh": nn.Tanh(),
    }


def _coarse(inputs: int, outputs: int, ngf: int) -> nn.Sequential:
    """Return the first stage: (N,inputs,H,W) -> (N,outputs,H,W)."""
    middle = _middle("", ngf, _RATES | {6: 1, 7: 1})
    return nn.Sequential(OrderedDict(_encoder("", inputs, ngf, (ngf, 2 * ngf)) | middle | _decoder(ngf, outputs)))


class FineStage(nn.Module):
    """Image (N,channels,H,W), filled by the first stage, and its holes -> image (N,channels,H,W).

    One branch convolves, one attends; what both found is decoded together.
    """

    def __init__(self, channels: int, ngf: int) -> None:
        super().__init__()
        half = max(1, ngf // 2)
        similar = {"ca_conv_bn1": GatedConv2d(2 * ngf, 2 * ngf, activation=F.relu)}
        parts: list[Layers] = [
            _encoder("conv_", channels, ngf, (half, ngf)) | _middle("conv_", ngf, _RATES),
            _encoder("ca_", channels, ngf, (half, 2 * ngf)) | similar,
            {"contextual_attention": ContextualAttention()},
            _middle("ca_", ngf, {4: 1, 5: 1}),
            {"conv_bn6": GatedConv2d(4 * ngf, 2 * ngf)} | _middle("", ngf, {7: 1}) | _decoder(ngf, channels),
        ]
        self.parts = [list(part) for part in parts]
        for part in parts:
            for name, layer in part.items():
                self.add_module(name, layer)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        convolving, before, (attention,), after, decoder = self.parts
        attended = self.get_submodule(attention)(self._run(before, image), mask)
        both = torch.cat([self._run(convolving, image), self._run(after, attended)], 1)
        return self._run(decoder, both)

    def _run(self, names: list[str], x: Tensor) -> Tensor:
        for name in names:
            x = self.get_submodule(name)(x)
        return x


class DeepFillGenerator(nn.Module):
    """Image and mask (N,input_nc,H,W) -> image (N,output_nc,H,W) in [-1,1]; H and W divide by 8.

    The last channel is the mask, 1 in holes; what the image holds there is not read. Its patches come from anywhere
    in the image, so it cannot be cut into tiles. UserError unless input_nc is output_nc + 1.
    """

    size_multiple = 8
    scale = 1
    coarse_to_fine = True

    def __init__(self, input_nc: int, output_nc: int, ngf: int = 48) -> None:
        super().__init__()
        channels = image_channels(input_nc, output_nc, "deepfillv2")
        self.stage1 = _coarse(input_nc + 1, channels, ngf)  # one channel more, of ones, tells the border of the image
        self.stage2 = FineStage(channels, ngf)

    def forward(self, x: Tensor) -> Tensor:
        return self.passes(x)[-1]

    def passes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images of the first and of the second stage; the second is what ``forward`` returns."""
        image, mask = split_holes(x)
        known = fill_holes(image, mask, 0.0)
        first = self.stage1(torch.cat([known, torch.ones_like(mask), mask], 1))
        return first, self.stage2(first * mask + known * (1 - mask), mask)

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """He et al. 2015, more where a gate halves what comes through; no bias. The port's own vanish on the way."""
        init_weights(self, "kaiming", generator=generator)
        for layer in self.modules():
            if isinstance(layer, GatedConv2d):
                layer.conv.weight.data.mul_(_GATED_GAIN)


@GENERATORS.register("deepfillv2", options=DeepFillOptions)
def deepfillv2(options: DeepFillOptions, input_nc: int, output_nc: int) -> DeepFillGenerator:
    """DeepFillv2, inpainting by gated convolution and contextual attention (Yu et al. 2019)."""
    return DeepFillGenerator(input_nc, output_nc, options.ngf)
