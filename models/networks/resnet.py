"""ResNet generators (Johnson et al. 2016, arXiv:1603.08155; as in CycleGAN, Zhu et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import TranslatorOptions
from models.networks.dropout import Dropout
from models.networks.norms import NormLayer, norm_layer, uses_bias
from models.networks.stages import Join, Keep, Stage
from models.networks.upsampling import around, doubled, doubling, halved, receptive_field
from util.errors import UserError


@dataclass(frozen=True)
class ResnetOptions(TranslatorOptions):
    """Nothing beyond what U-Nets have too."""


class ResnetBlock(nn.Module):
    """x + f(x) on (N,channels,H,W), with reflected borders."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, channels: int, norm: NormLayer, bias: bool, dropout: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias)]
        layers += [norm(channels), nn.ReLU(inplace=True)]
        if dropout:
            layers.append(Dropout(0.5))
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3, bias=bias), norm(channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)

    def stages(self) -> list[Stage]:
        """Return the block as a flat list; both norms' inputs are stored."""
        start, layers = Keep(), list(self.conv_block)
        return [start, *layers[:2], Keep(), *layers[2:-1], Keep(), layers[-1], Join(start)]


class ResnetGenerator(nn.Module):
    """Translate (N,input_nc,H,W) in [-1,1] to (N,output_nc,H,W) in [-1,1]; H and W divide by 4, at least 8."""

    size_multiple = 4
    scale = 1

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        n_blocks: int,
        ngf: int = 64,
        norm: str = "instance",
        dropout: bool = True,
        upsample: str = "transpose",
    ) -> None:
        super().__init__()
        layer, bias = norm_layer(norm), uses_bias(norm)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(input_nc, ngf, 7, bias=bias)]
        layers += [layer(ngf), nn.ReLU(inplace=True)]
        for width in (ngf, 2 * ngf):
            layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), layer(2 * width), nn.ReLU(inplace=True)]
        layers += [ResnetBlock(4 * ngf, layer, bias, dropout) for _ in range(n_blocks)]
        for width in (2 * ngf, ngf):
            up = doubling(upsample, 2 * width, width, 3, bias=bias)
            layers += [up, layer(width), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        up_steps = [doubled(upsample, 3)] * 2
        steps = [around(3), halved(3), halved(3), around(2 * n_blocks), *up_steps, around(3)]
        self.receptive_field = receptive_field(steps, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def features(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Return what the layers of these numbers make of (N,input_nc,H,W), in order; nothing behind them is run.

        Raises:
            UserError: there is no such layer.
        """
        wrong = [number for number in layers if not 0 <= number < len(self.model)]
        if wrong:
            raise UserError(f"--nce_layers {wrong[0]}: the generator's layers are 0 to {len(self.model) - 1}")
        found: dict[int, Tensor] = {}
        for number, layer in enumerate(self.model[: max(layers) + 1]):
            x = layer(x)
            if number in layers:
                found[number] = x.clone() if _is_overwritten(self.model, number) else x
        return [found[number] for number in layers]

    def stages(self) -> list[Stage]:
        """Return the layers as a flat list; what is stored has a quarter of the image's height and width."""
        head, rest = list(self.model[:8]), list(self.model[8:])
        flat: list[Stage] = [*head, Keep()]
        for layer in rest:
            inner = layer.stages() if isinstance(layer, ResnetBlock) else [layer]
            flat += list(layer) if isinstance(layer, nn.Sequential) else inner
        return flat


def _is_overwritten(layers: nn.Sequential, number: int) -> bool:
    """Return whether the layer behind one works in place."""
    return number + 1 < len(layers) and getattr(layers[number + 1], "inplace", False)


@GENERATORS.register("resnet_9blocks", options=ResnetOptions)
def resnet_9blocks(options: ResnetOptions, input_nc: int, output_nc: int) -> ResnetGenerator:
    """ResNet with 9 residual blocks, for 256 pixels and more (Zhu et al. 2017)."""
    return _make(options, input_nc, output_nc, 9)


@GENERATORS.register("resnet_6blocks", options=ResnetOptions)
def resnet_6blocks(options: ResnetOptions, input_nc: int, output_nc: int) -> ResnetGenerator:
    """ResNet with 6 residual blocks, for 128 pixels (Zhu et al. 2017)."""
    return _make(options, input_nc, output_nc, 6)


def _make(options: ResnetOptions, input_nc: int, output_nc: int, n_blocks: int) -> ResnetGenerator:
    dropout = not options.no_dropout
    return ResnetGenerator(input_nc, output_nc, n_blocks, options.ngf, options.norm, dropout, options.upsample)
