"""SRResNet, the generator of SRGAN (Ledig et al. 2017, arXiv:1609.04802)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import NetworkOptions
from models.networks.norms import NormLayer, norm_layer
from models.networks.stages import Join, Keep, Stage
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class SRResNetOptions(NetworkOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(16, "residual blocks of the generator", scope="identity", minimum=1)
    scale: int = option(1, "enlargement: 1 (equal sizes), 2 or 4", scope="identity", minimum=1, maximum=4)


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
    """(N,channels,H,W) -> (N,channels,2H,2W) by sub-pixel convolution (Shi et al. 2016, arXiv:1609.05158)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(2)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(self.pixel_shuffle(self.conv(x)))


class SRResNet(nn.Module):
    """Translate (N,input_nc,H,W) in [-1,1] to (N,output_nc,scale*H,scale*W) in [-1,1], any H and W.

    Its parts are block1 (first convolution), block2 ... (residual), one more convolution, and the output; the
    convolutions keep their bias before any norm. UserError if ``scale`` is not 1, 2 or 4.
    """

    size_multiple = 1

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
        if scale not in (1, 2, 4):
            raise UserError(f"--scale {scale} is not supported by srresnet: use 1, 2 or 4")
        self.scale, layer = scale, norm_layer(norm)
        self.receptive_field = 9 + 2 * n_blocks  # pixels to each side: 4 for each 9x9, 1 for each 3x3
        upsampling = [UpsampleBlock(ngf) for _ in range(round(math.log2(scale)))]
        parts: list[nn.Module] = [nn.Sequential(nn.Conv2d(input_nc, ngf, 9, padding=4), nn.PReLU())]
        parts += [SRResNetBlock(ngf, layer) for _ in range(n_blocks)]
        parts.append(nn.Sequential(nn.Conv2d(ngf, ngf, 3, padding=1), layer(ngf)))
        parts.append(nn.Sequential(*upsampling, nn.Conv2d(ngf, output_nc, 9, padding=4)))
        for number, part in enumerate(parts, start=1):
            self.add_module(f"block{number}", part)

    def forward(self, x: Tensor) -> Tensor:
        first, *body, output = self.children()
        shallow = first(x)
        deep = shallow
        for part in body:
            deep = part(deep)
        return output(shallow + deep).tanh()

    def stages(self) -> list[Stage]:
        """Return the layers as a flat list; the body is stored, at the image's own size."""
        first, *body, output = self.children()
        shallow = Keep()
        flat: list[Stage] = [*first.children(), shallow]
        for part in body:
            flat += part.stages() if isinstance(part, SRResNetBlock) else [*part.children()]
        flat.append(Join(shallow))
        for part in output.children():
            flat += part.children() if isinstance(part, UpsampleBlock) else [part]
        return [*flat, nn.Tanh()]


@GENERATORS.register("srresnet", "srgan", options=SRResNetOptions)
def srresnet(options: SRResNetOptions, input_nc: int, output_nc: int) -> SRResNet:
    """SRResNet, SRGAN's generator; with --scale 1 for pairs of equal size (Ledig et al. 2017)."""
    return SRResNet(input_nc, output_nc, options.ngf, options.n_blocks, options.scale, options.norm)
