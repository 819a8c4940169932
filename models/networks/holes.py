"""What every inpainting network is given: an image, and where it has holes, as one tensor."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.networks.ranges import UNIT, UnitRange, from_unit, to_unit
from util.errors import UserError

_HALVINGS = 12  # for holes of 4096 pixels; at one pixel a halving changes nothing


def split_holes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return image (N,C,H,W) and mask (N,1,H,W), exactly 0 (known) or 1 (hole), of (N,C+1,H,W) with the mask last.

    More than one half is a hole, so that a mask survives whatever brings images from [0,1] to [-1,1] and back.
    """
    return x[:, :-1], (x[:, -1:] > 0.5).to(x.dtype)


def fill_holes(image: Tensor, mask: Tensor, value: float) -> Tensor:
    """Return the image with one value in all holes; what they held before, even NaN, leaves no trace."""
    return torch.where(mask > 0, torch.full_like(image, value), image)


def continue_smoothly(image: Tensor, mask: Tensor, halvings: int = _HALVINGS) -> Tensor:
    """Return the image (N,C,H,W) with means of what is known around them in its holes, (N,1,H,W) 1 in holes.

    The image is halved again and again, by means over known pixels alone, and every size lends the next larger one what
    that lacks (Gortler et al. 1996, The Lumigraph: pull and push). Without any known pixel it is 0.
    """
    if not halvings:
        return fill_holes(image, mask, 0.0)
    height, width = image.shape[-2:]
    even = (0, width % 2, 0, height % 2)
    share = F.avg_pool2d(F.pad(1 - mask, even), 2)
    means = F.avg_pool2d(F.pad(fill_holes(image, mask, 0.0), even), 2) / share.clamp_min(0.25)
    coarse = continue_smoothly(means, (share == 0).to(mask.dtype), halvings - 1)
    lent = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
    return torch.where(mask > 0, lent[..., :height, :width], image)


def image_channels(input_nc: int, output_nc: int, name: str) -> int:
    """Return the channels of the image; UserError unless the mask is all that comes beside those of the output."""
    if input_nc != output_nc + 1:
        raise UserError(
            f"--netG {name} takes an image and a mask and returns the image: --input_nc {input_nc} must be one more "
            f"than --output_nc {output_nc}"
        )
    return output_nc


class UnitInpainter(UnitRange):
    """An inpainting network published for images in [0,1]; the mask is 0 or 1 in either range.

    ``fill`` is what it is shown in the holes, and ``published_passes`` what its paper or code computes;
    ``coarse_to_fine`` says whether that is more than one image.
    """

    fill = 0.0
    coarse_to_fine = False

    def published_passes(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the images (N,output_nc,H,W) from coarse to fine, for a filled image in [0,1] and its mask."""
        raise NotImplementedError

    def published(self, x: Tensor) -> Tensor:
        return self.published_passes(x)[-1]

    def passes(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the images of every pass for an image and its mask (N,input_nc,H,W); the last is ``forward``'s."""
        image, mask = split_holes(x)
        unit = self.value_range == UNIT
        known = fill_holes(image if unit else to_unit(image), mask, self.fill)
        images = self.published_passes(torch.cat([known, mask], 1))
        return images if unit else tuple(from_unit(image) for image in images)

    def forward(self, x: Tensor) -> Tensor:
        return self.passes(x)[-1]
