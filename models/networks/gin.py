"""GIN, inpainting of large holes at several scales (Li et al. 2020, arXiv:2008.07173), for the AIM 2020 challenge.

Known from the paper and its code, rlct1/gin, whose keys and computation these are: a coarse pass and a fine one; in
both, residual blocks of convolutions with many dilations; attention at three scales of the fine pass; and back
projection, which corrects the fine image by how it differs, made small, from a small image of the same network.

Ours: the weights begin larger than there, where training starts from weights made before; and the small image is
enlarged to stand among the passes, while the paper compares it at its own size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import PlainOptions
from models.networks.holes import UnitInpainter, image_channels
from models.networks.initialise import init_residual, init_weights
from util.option import option

_COARSE_DILATIONS = (2, 3, 4, 5, 6, 8, 10, 1)
_FINE_DILATIONS = (2, 3, 4, 5)
_MIDDLE = ("mres1", "mres2", "mres5", "satn1", "mres3", "mres4", "mres6")  # in the order they run
_SMALL = 4  # times smaller is the image of the back projection


@dataclass(frozen=True)
class GINOptions(PlainOptions):
    ngf: int = option(64, "filters of the generator's layers at half the size", scope="identity", minimum=1)


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Return a convolution whose border pixels are repeated outside; of size 4 and stride 2 it halves."""
    padding = 1 if size == 4 else dilation * (size // 2)
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, padding_mode="replicate")


class Branch(nn.Module):
    """One convolution, under the name it is published with."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = _conv(inputs, outputs, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class PyramidBlock(nn.Module):
    """x + f(x) on (N,channels,H,W): convolutions of several dilations side by side, and one that fuses them."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, channels: int, dilations: Sequence[int]) -> None:
        super().__init__()
        width, count = max(1, channels // len(dilations)), len(dilations)
        for number, dilation in enumerate(dilations, start=1):
            self.add_module(f"branch{number}", Branch(channels, width, dilation))
        self.add_module(f"fusion{count + 1}", Branch(width * count, channels))

    def forward(self, x: Tensor) -> Tensor:
        *branches, fusion = self.children()
        return x + fusion(torch.cat([torch.relu(branch(x)) for branch in branches], 1))


class Attention(nn.Module):
    """x + W(attention) on (N,channels,H,W), every pixel to all others (Wang et al. 2018, arXiv:1711.07971)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.g, self.W = nn.Conv2d(channels, half, 1), nn.Conv2d(half, channels, 1)
        self.theta, self.phi = nn.Conv2d(channels, half, 1), nn.Conv2d(channels, half, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2).transpose(1, 2) for layer in (self.theta, self.phi, self.g))
        if torch.compiler.is_exporting():  # the fused one would leave out maps of a single pixel
            found = torch.softmax(query @ key.transpose(1, 2), -1) @ value
        else:
            found = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return x + self.W(found.transpose(1, 2).unflatten(2, x.shape[2:]))


def _enlarged(x: Tensor, factor: float = 2) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)


def _coarse(input_nc: int, output_nc: int, ngf: int) -> nn.Sequential:
    """Return the coarse pass; its layers' numbers leave out those of the published padding layers."""
    widths = [max(1, ngf // 2), ngf, 2 * ngf, 4 * ngf]
    layers: list[tuple[int, nn.Module]] = [(1, _conv(input_nc, widths[0], 7)), (2, nn.LeakyReLU(0.2))]
    for i, (narrow, wide) in enumerate(zip(widths, widths[1:], strict=False)):
        layers += [(4 + 3 * i, _conv(narrow, wide, 4, 2)), (5 + 3 * i, nn.LeakyReLU(0.2))]
    layers += [(12 + i, PyramidBlock(widths[-1], _COARSE_DILATIONS)) for i in range(6)]
    for i, (wide, narrow) in enumerate(zip(widths[:0:-1], widths[-2::-1], strict=True)):
        first = 18 + 4 * i
        layers += [(first, nn.UpsamplingBilinear2d(scale_factor=2)), (first + 2, _conv(wide, narrow))]
        layers.append((first + 3, nn.LeakyReLU(0.2)))
    return nn.Sequential(OrderedDict((str(n), layer) for n, layer in [*layers, (31, _conv(widths[0], output_nc, 7))]))


class GIN(UnitInpainter):
    """Image and mask (N,input_nc,H,W) -> image (N,output_nc,H,W); H and W divide by 16.

    The last channel is the mask, 1 in holes; what the image holds there is not read: the network is shown white. Its
    attention sees the whole image, so it cannot be cut into tiles. UserError unless input_nc is output_nc + 1.
    """

    size_multiple = 16
    fill = 1.0
    coarse_to_fine = True

    def __init__(self, input_nc: int, output_nc: int, ngf: int = 64) -> None:
        super().__init__()
        channels = image_channels(input_nc, output_nc, "gin")
        self.lr_coarse_tinker = _coarse(input_nc, channels, ngf)
        for name, layer in self._fine(input_nc, channels, ngf):
            self.add_module(f"r_{name}", layer)

    def _fine(self, input_nc: int, channels: int, ngf: int) -> Iterable[tuple[str, nn.Module]]:
        """Yield the layers of the fine pass by the names they are published with, less the first letters."""
        half = max(1, ngf // 2)
        yield "en_conv1", _conv(input_nc, half, 7)
        for number, (narrow, wide) in enumerate(((half, 1), (ngf, 2), (2 * ngf, 4), (4 * ngf, 8)), start=2):
            yield f"en_conv{number}", _conv(narrow, wide * ngf, 4, 2)
        yield from (("en_skp_conv3", _conv(2 * ngf, ngf)), ("en_skp_conv4", _conv(4 * ngf, 2 * ngf)))
        for name in _MIDDLE:
            yield f"md_{name}", Attention(8 * ngf) if "satn" in name else PyramidBlock(8 * ngf, _FINE_DILATIONS)
        yield from (("de_conv1", _conv(8 * ngf, 4 * ngf)), ("de_mix_conv1", _conv(6 * ngf, 4 * ngf)))
        yield from (("de_satn2", Attention(2 * ngf)), ("de_satn3", Attention(ngf)))
        yield from (("de_conv2", _conv(4 * ngf, 2 * ngf)), ("de_mix_conv2", _conv(3 * ngf, 2 * ngf)))
        yield from (("de_conv2_lr", _conv(2 * ngf, half)), ("de_conv3_lr", _conv(half, channels)))
        yield from (("de_conv3", _conv(2 * ngf, ngf)), ("de_conv4", _conv(ngf, half)))
        yield from (("de_conv5", _conv(half, channels, 7)), ("de_conv5_lr_alpha", _conv(half, 1)))

    def _run(self, name: str, x: Tensor) -> Tensor:
        return self.get_submodule(f"r_{name}")(x)

    def _act(self, name: str, x: Tensor) -> Tensor:
        return F.leaky_relu(self._run(name, x), 0.2)

    def published_passes(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        image, mask = x[:, :-1], x[:, -1:]
        coarse = self.lr_coarse_tinker(x)
        large, small, share = self._fine_pass(torch.cat([coarse * mask + image * (1 - mask), mask], 1))
        large = large * mask + image * (1 - mask)
        missing = _enlarged(small - _enlarged(large, 1 / _SMALL), _SMALL)
        return coarse, _enlarged(small, _SMALL), large + missing * share

    def _fine_pass(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return an image, a small one, and for each pixel the share of what the small one adds."""
        encoded = []
        for number in range(1, 6):
            x = self._act(f"en_conv{number}", x)
            encoded.append(x)
        for name in _MIDDLE:
            x = self._run(f"md_{name}", x)
        for number, skip in ((1, 4), (2, 3)):
            known = self._run(f"de_satn{number + 1}", self._act(f"en_skp_conv{skip}", encoded[skip - 1]))
            x = self._act(f"de_conv{number}", _enlarged(x))
            x = self._act(f"de_mix_conv{number}", torch.cat([x, known], 1))
        small = self._run("de_conv3_lr", self._act("de_conv2_lr", x))
        x = self._act("de_conv4", _enlarged(self._act("de_conv3", _enlarged(x))))
        return self._run("de_conv5", x), small, torch.sigmoid(self._run("de_conv5_lr_alpha", x))

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """He et al. 2015, a tenth of it in residual blocks and attention, no bias."""
        init_weights(self, "kaiming", generator=generator)
        for layer in self.modules():
            if isinstance(layer, PyramidBlock | Attention):
                init_residual(layer, generator)


@GENERATORS.register("gin", options=GINOptions)
def gin(options: GINOptions, input_nc: int, output_nc: int) -> GIN:
    """GIN, inpainting at several scales with back projection (Li et al. 2020)."""
    return GIN(input_nc, output_nc, options.ngf)
