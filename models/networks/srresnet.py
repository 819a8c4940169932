"""SRResNet, the generator of SRGAN (Ledig et al. 2017, arXiv:1609.04802)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import NetworkOptions
from models.networks.norms import NormLayer, norm_layer
from models.networks.ranges import UNIT, FromUnit, ToUnit, UnitRange, to_unit
from models.networks.reach import receptive_field
from models.networks.stages import Join, Keep, Stage
from models.networks.subpixel import factors, subpixel_reach
from util.option import option


@dataclass(frozen=True)
class SRResNetOptions(NetworkOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(16, "residual blocks of the generator", scope="identity", minimum=1)
    scale: int = option(1, "enlargement; 1 restores images of equal size", scope="identity", minimum=1, maximum=8)


class SRResNetBlock(nn.Module):
    """x + f(x) on (N,channels,H,W)."""

    recompute = True  # a unit of --checkpoint_activations

    def __init__(self, channels: int, norm: NormLayer) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = norm(channels)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn1(self.conv1(x)))
        return x + self.bn2(self.conv2(y))

    def stages(self) -> list[Stage]:
        """Return the block as a flat list; both norms' inputs are stored."""
        start = Keep()
        return [start, self.conv1, Keep(), self.bn1, self.prelu, self.conv2, Keep(), self.bn2, Join(start)]


class UpsampleBlock(nn.Module):
    """(N,channels,H,W) -> (N,channels,step*H,step*W) by sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158)."""

    def __init__(self, channels: int, step: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, step * step * channels, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(step)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(self.pixel_shuffle(self.conv(x)))


class SRResNet(UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W) in [0,1], any H and W; UserError for other scales.

    Its parts are block1 (first convolution), block2 ... (residual), one more convolution, and the output; the
    convolutions keep their bias before any norm. As published the input is in [0,1] and a tanh makes the output.
    """

    def __init__(
        self,
        input_nc: int,
        output_nc: int,
        ngf: int = 64,
        n_blocks: int = 16,
        scale: int = 1,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        steps, layer = factors(scale, "srresnet"), norm_layer(norm)
        self.scale = scale
        self.receptive_field = receptive_field([5 + 2 * n_blocks, *subpixel_reach(steps), 4], scale)
        upsampling = [UpsampleBlock(ngf, step) for step in steps]
        parts: list[nn.Module] = [nn.Sequential(nn.Conv2d(input_nc, ngf, 9, padding=4), nn.PReLU())]
        parts += [SRResNetBlock(ngf, layer) for _ in range(n_blocks)]
        parts.append(nn.Sequential(nn.Conv2d(ngf, ngf, 3, padding=1), layer(ngf)))
        parts.append(nn.Sequential(*upsampling, nn.Conv2d(ngf, output_nc, 9, padding=4)))
        for number, part in enumerate(parts, start=1):
            self.add_module(f"block{number}", part)

    def published(self, x: Tensor) -> Tensor:
        first, *body, output = self.children()
        shallow = first(x)
        deep = shallow
        for part in body:
            deep = part(deep)
        return to_unit(output(shallow + deep).tanh())

    def stages(self) -> list[Stage]:
        """Return the layers as a flat list; the body is stored, at the image's own size."""
        first, *body, output = self.children()
        shallow = Keep()
        begin, end = ([], [ToUnit()]) if self.value_range == UNIT else ([ToUnit()], [ToUnit(), FromUnit()])
        flat: list[Stage] = [*begin, *first.children(), shallow]
        for part in body:
            flat += part.stages() if isinstance(part, SRResNetBlock) else [*part.children()]
        flat.append(Join(shallow))
        for part in output.children():
            flat += part.children() if isinstance(part, UpsampleBlock) else [part]
        return [*flat, nn.Tanh(), *end]


@GENERATORS.register("srresnet", "srgan", options=SRResNetOptions)
def srresnet(options: SRResNetOptions, input_nc: int, output_nc: int) -> SRResNet:
    """SRResNet, SRGAN's generator; with --scale 1 for pairs of equal size (Ledig et al. 2017)."""
    return SRResNet(input_nc, output_nc, options.ngf, options.n_blocks, options.scale, options.norm)
