"""Auto-encoders without skip connections: baselines that a better network has to beat.

Linear ones see each patch apart (Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647); convolutional ones share
their weights over the image (Masci et al. 2011, doi:10.1007/978-3-642-21735-7_7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import NetworkOptions, PlainOptions
from models.networks.norms import norm_layer, uses_bias
from models.networks.stages import Stage
from models.networks.upsampling import doubled, doubling, halved, receptive_field
from util.option import option


@dataclass(frozen=True)
class LinearOptions(PlainOptions):
    ae_patch: int = option(
        16, "side of the patches that a linear auto-encoder sees; the crop's, and it sees all at once", "identity",
        minimum=1,
    )  # fmt: skip
    ae_widths: tuple[int, ...] = option(
        (512, 256, 128), "numbers that a patch becomes, layer by layer; back in the other order", "identity", minimum=1
    )


@dataclass(frozen=True)
class ConvOptions(NetworkOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    ae_halvings: int = option(3, "how often a convolutional auto-encoder halves sizes", "identity", minimum=1)


class AutoEncoder(nn.Module):
    """A chain of layers (N,input_nc,H,W) -> (N,output_nc,H,W), both in [-1,1]; H and W divide by ``size_multiple``.

    Args:
        reach: the most pixels to each side that an output pixel depends on.
    """

    scale = 1

    def __init__(self, layers: Sequence[nn.Module], size_multiple: int, reach: int) -> None:
        super().__init__()
        self.size_multiple, self.receptive_field = size_multiple, reach
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def stages(self) -> list[Stage]:
        """Return the layers as a flat list."""
        return [part for layer in self.model for part in (layer if isinstance(layer, nn.Sequential) else [layer])]


@GENERATORS.register("autoencoder_linear", options=LinearOptions)
def autoencoder_linear(options: LinearOptions, input_nc: int, output_nc: int) -> AutoEncoder:
    """Fully connected layers over each patch of the image: a baseline (Hinton and Salakhutdinov 2006)."""
    side, widths = options.ae_patch, options.ae_widths
    layers: list[nn.Module] = [nn.Conv2d(input_nc, widths[0], side, side), nn.ReLU()]
    way = [*widths, *widths[-2::-1]]
    for before, after in zip(way, way[1:], strict=False):
        layers += [nn.Conv2d(before, after, 1), nn.ReLU()]
    return AutoEncoder([*layers, nn.ConvTranspose2d(way[-1], output_nc, side, side), nn.Tanh()], side, side - 1)


@GENERATORS.register("autoencoder_conv", options=ConvOptions)
def autoencoder_conv(options: ConvOptions, input_nc: int, output_nc: int) -> AutoEncoder:
    """Strided convolutions down and up again, without skips: a baseline (Masci et al. 2011)."""
    norm, bias, count = norm_layer(options.norm), uses_bias(options.norm), options.ae_halvings
    widths, layers = [options.ngf * 2**level for level in range(count)], list[nn.Module]()
    for before, after in zip([input_nc, *widths], widths, strict=False):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=bias), norm(after), nn.ReLU()]
    for before, after in zip(widths[::-1], widths[-2::-1], strict=False):
        layers += [doubling("resize", before, after, 3, bias=bias), norm(after), nn.ReLU()]
    last = doubling("resize", widths[0], output_nc, 3, bias=True)
    steps = [halved(4)] * count + [doubled("resize", 3)] * count
    return AutoEncoder([*layers, last, nn.Tanh()], 2**count, receptive_field(steps, 2**count))
