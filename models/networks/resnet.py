"""ResNet generators (Johnson et al. 2016, arXiv:1603.08155; as in CycleGAN, Zhu et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import NetworkOptions
from models.networks.dropout import Dropout
from models.networks.norms import NormLayer, norm_layer, uses_bias
from models.networks.stages import Join, Keep, Stage
from util.option import option


@dataclass(frozen=True)
class ResnetOptions(NetworkOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    no_dropout: bool = option(False, "build the generator without dropout", scope="identity")


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
        self, input_nc: int, output_nc: int, n_blocks: int, ngf: int = 64, norm: str = "instance", dropout: bool = True
    ) -> None:
        super().__init__()
        self.receptive_field = 12 + 8 * n_blocks  # pixels to each side: two 3x3 a block, at a quarter of the size
        layer, bias = norm_layer(norm), uses_bias(norm)
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(input_nc, ngf, 7, bias=bias)]
        layers += [layer(ngf), nn.ReLU(inplace=True)]
        for width in (ngf, 2 * ngf):
            layers += [nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias), layer(2 * width), nn.ReLU(inplace=True)]
        layers += [ResnetBlock(4 * ngf, layer, bias, dropout) for _ in range(n_blocks)]
        for width in (2 * ngf, ngf):
            up = nn.ConvTranspose2d(2 * width, width, 3, 2, 1, output_padding=1, bias=bias)
            layers += [up, layer(width), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def stages(self) -> list[Stage]:
        """Return the layers as a flat list; what is stored has a quarter of the image's height and width."""
        head, rest = list(self.model[:8]), list(self.model[8:])
        flat: list[Stage] = [*head, Keep()]
        for layer in rest:
            flat += layer.stages() if isinstance(layer, ResnetBlock) else [layer]
        return flat


@GENERATORS.register("resnet_9blocks", options=ResnetOptions)
def resnet_9blocks(options: ResnetOptions, input_nc: int, output_nc: int) -> ResnetGenerator:
    """ResNet with 9 residual blocks, for 256 pixels and more (Zhu et al. 2017)."""
    return ResnetGenerator(input_nc, output_nc, 9, options.ngf, options.norm, not options.no_dropout)


@GENERATORS.register("resnet_6blocks", options=ResnetOptions)
def resnet_6blocks(options: ResnetOptions, input_nc: int, output_nc: int) -> ResnetGenerator:
    """ResNet with 6 residual blocks, for 128 pixels (Zhu et al. 2017)."""
    return ResnetGenerator(input_nc, output_nc, 6, options.ngf, options.norm, not options.no_dropout)
