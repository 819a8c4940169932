"""Several PatchGANs that see the image at halved sizes (pix2pixHD, Wang et al. 2018, arXiv:1711.11585)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from models.networks import DISCRIMINATORS
from models.networks.common import NetworkOptions
from models.networks.outputs import DiscriminatorOutput
from models.networks.patchgan import PatchDiscriminator
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class MultiscaleOptions(NetworkOptions):
    ndf: int = option(64, "filters of the discriminator's first layer", scope="identity", minimum=1)
    n_layers_D: int = option(3, "downsampling layers of the discriminator", scope="identity", minimum=1)
    num_D: int = option(3, "scales of the discriminator, each half as large as the last", "identity", minimum=1)


class MultiscaleDiscriminator(nn.Module):
    """Tell real from generated (N,input_nc,H,W) at several sizes: one output a scale, from the whole size on.

    Three scales of three layers need 96 pixels; UserError for less.
    """

    def __init__(self, input_nc: int, num_D: int = 3, ndf: int = 64, n_layers: int = 3, norm: str = "instance") -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(input_nc, ndf, n_layers, norm) for _ in range(num_D))
        self.shrink = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.smallest = 3 * 2 ** (n_layers + num_D - 1)

    def forward(self, x: Tensor) -> list[DiscriminatorOutput]:
        if min(x.shape[2:]) < self.smallest:
            raise UserError(
                f"--netD multiscale: images of {x.shape[3]}x{x.shape[2]} pixels, but {len(self.scales)} scales need "
                f"{self.smallest}; use a smaller --num_D or --n_layers_D, or larger crops"
            )
        outputs: list[DiscriminatorOutput] = []
        for number, scale in enumerate(self.scales):
            x = self.shrink(x) if number else x
            outputs += scale(x)
        return outputs


@DISCRIMINATORS.register("multiscale", options=MultiscaleOptions)
def multiscale(options: MultiscaleOptions, input_nc: int) -> MultiscaleDiscriminator:
    """PatchGANs at --num_D sizes, for large images (pix2pixHD); goes well with --lambda_FM."""
    return MultiscaleDiscriminator(input_nc, options.num_D, options.ndf, options.n_layers_D, options.norm)
