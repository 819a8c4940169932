"""MSRResNet, the SRResNet without norms that ESRGAN's authors start from (arXiv:1809.00219)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import EnlargerOptions
from models.networks.edsr import PlainBlock
from models.networks.initialise import init_residual
from models.networks.ranges import UnitRange
from models.networks.reach import receptive_field
from models.networks.subpixel import added, factors, subpixel_reach
from util.option import option


@dataclass(frozen=True)
class MSRResNetOptions(EnlargerOptions):
    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    n_blocks: int = option(16, "residual blocks of the generator", scope="identity", minimum=1)


class MSRResNet(UnitRange):
    """(N,input_nc,H,W) in [0,1] -> (N,output_nc,scale*H,scale*W), any H and W: details on a bilinear enlargement."""

    def __init__(self, input_nc: int, output_nc: int, ngf: int = 64, n_blocks: int = 16, scale: int = 1) -> None:
        super().__init__()
        self.steps = factors(scale, "msrresnet", (1, 2, 3, 4))
        self.scale = scale
        self.receptive_field = receptive_field([1 + 2 * n_blocks, *subpixel_reach(self.steps), 2], scale)
        self.conv_first = nn.Conv2d(input_nc, ngf, 3, padding=1)
        self.body = nn.Sequential(*(PlainBlock(ngf) for _ in range(n_blocks)))
        for number, step in enumerate(self.steps, start=1):
            setattr(self, f"upconv{number}", nn.Conv2d(ngf, step * step * ngf, 3, padding=1))
        self.conv_hr = nn.Conv2d(ngf, ngf, 3, padding=1)
        self.conv_last = nn.Conv2d(ngf, output_nc, 3, padding=1)

    def published(self, x: Tensor) -> Tensor:
        y = self.body(F.leaky_relu(self.conv_first(x), 0.1))
        for number, step in enumerate(self.steps, start=1):
            y = F.leaky_relu(F.pixel_shuffle(self.get_submodule(f"upconv{number}")(y), step), 0.1)
        details = self.conv_last(F.leaky_relu(self.conv_hr(y), 0.1))
        return added(self._enlarged(x), details)

    def _enlarged(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False) if self.steps else x

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """A tenth of He et al. 2015."""
        init_residual(self, generator)


@GENERATORS.register("msrresnet", options=MSRResNetOptions)
def msrresnet(options: MSRResNetOptions, input_nc: int, output_nc: int) -> MSRResNet:
    """SRResNet without norms, on a bilinear enlargement (Wang et al. 2018)."""
    return MSRResNet(input_nc, output_nc, options.ngf, options.n_blocks, options.scale)
