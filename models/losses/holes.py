"""Losses of inpainting: pixels weighted by where they lie, and discriminators that know where the holes are.

The two ``--gan_mode`` classes take the mask (N,1,H,W), 1 in holes, behind the discriminator's outputs; without it all
of a fake is a hole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses import GAN_MODES
from models.losses.adversarial import AdversarialLoss, Outputs, mean_over_scales
from models.networks.outputs import DiscriminatorOutput
from util.option import option
from util.precision import widened


def weighted_l1(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean over all pixels of ``weight`` (N,1,H,W) times |output - target| of (N,C,H,W), a scalar.

    Pixels of weight 0 may hold anything, NaN too. The mean is over all pixels, so that large holes weigh more, as in
    LaMa and GIN.
    """
    difference = torch.where(weight > 0, output - target, torch.zeros_like(output))
    return (widened(difference).abs() * weight).mean()


def total_variation(image: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbours across plus that down (N,C,H,W), a scalar."""
    across, down = image[..., 1:] - image[..., :-1], image[..., 1:, :] - image[..., :-1, :]
    return widened(across).abs().mean() + widened(down).abs().mean()


def feature_distance(fake: Outputs, real: Outputs) -> Tensor:
    """Return the mean squared difference of D's features, averaged over layers and scales (LaMa), a scalar.

    Gradients flow into ``fake`` alone.
    """
    layers = [
        F.mse_loss(widened(ours), widened(theirs.detach()))
        for made, true in zip(fake, real, strict=True)
        for ours, theirs in zip(made.features, true.features, strict=True)
    ]
    return torch.stack(layers).mean()


@dataclass(frozen=True)
class HolePatchesOptions:
    hole_R1: float = option(
        0.004, "weight of R1, the squared slope of D's summed logits at real images; LaMa's 0.001 for [0,1]", minimum=0
    )


@GAN_MODES.register("hole_patches", options=HolePatchesOptions)
class HolePatches(AdversarialLoss):
    """LaMa's non-saturating loss with R1: of a fake only the patches in holes are fake, the others are real."""

    needs_hole = True

    def __init__(self, options: HolePatchesOptions) -> None:
        self.weight = options.hole_R1
        self.own_R1 = "hole_R1" if self.weight else ""

    def discriminator_loss(self, real: Outputs, fake: Outputs, hole: Tensor | None = None) -> tuple[Tensor, Tensor]:
        fakes = [widened(output.logits) for output in fake]
        holes = [_touched(hole, logits) for logits in fakes]
        terms = [F.softplus(torch.where(at > 0, x, -x)).mean() for x, at in zip(fakes, holes, strict=True)]
        return mean_over_scales(real, lambda x: F.softplus(-x)), torch.stack(terms).mean()

    def generator_loss(self, fake: Outputs, hole: Tensor | None = None) -> Tensor:
        return mean_over_scales(fake, lambda x: F.softplus(-x))

    def penalty(self, discriminator: Callable[[Tensor], Outputs], real: Tensor, fake: Tensor) -> Tensor | None:
        """Return R1 as LaMa has it: the squared slope of the sum of all logits, at real images alone; None for 0."""
        if not self.weight:
            return None
        x = real.detach().requires_grad_(True)
        slopes = [torch.autograd.grad(widened(o.logits).sum(), x, create_graph=True)[0] for o in discriminator(x)]
        return self.weight * torch.stack([slope.flatten(1).square().sum(1).mean() for slope in slopes]).mean()


@dataclass(frozen=True)
class SoftMaskOptions:
    soft_mask_size: int = option(71, "side in pixels of the window that softens the mask for D; odd", minimum=1)
    soft_mask_sigma: float = option(10.0, "standard deviation in pixels of its Gaussian", minimum=0.1)


@GAN_MODES.register("soft_mask", options=SoftMaskOptions)
class SoftMask(AdversarialLoss):
    """AOT-GAN's loss (Zeng et al. 2021, arXiv:2104.01431): D finds the softened hole, by least squares.

    Real images, and what is far from a hole, should score 1, holes 0. The generator is asked for 1 in holes, by the
    mean over their pixels. Logits are enlarged to the mask's size.
    """

    needs_hole = True

    def __init__(self, options: SoftMaskOptions) -> None:
        self.size, self.sigma = options.soft_mask_size | 1, options.soft_mask_sigma

    def discriminator_loss(self, real: Outputs, fake: Outputs, hole: Tensor | None = None) -> tuple[Tensor, Tensor]:
        terms = []
        for output in fake:
            logits, at = _enlarged(output, hole)
            terms.append((logits - (1 - softened(at, self.size, self.sigma))).square().mean())
        return mean_over_scales(real, lambda x: (x - 1).square()), torch.stack(terms).mean()

    def generator_loss(self, fake: Outputs, hole: Tensor | None = None) -> Tensor:
        terms = []
        for output in fake:
            logits, at = _enlarged(output, hole)
            at = at.expand_as(logits)  # every channel's logits count in the mean
            found = ((logits - 1).square() * at).flatten(1).sum(1) / at.flatten(1).sum(1).clamp_min(1)
            terms.append(found.mean())
        return torch.stack(terms).mean()


def softened(mask: Tensor, size: int, sigma: float) -> Tensor:
    """Return the mask (N,1,H,W) under a Gaussian window of ``size`` x ``size``, its borders repeated outwards."""
    places = torch.arange(size, dtype=mask.dtype, device=mask.device) - size // 2
    weights = torch.exp(-places.square() / (2 * sigma**2))
    kernel = (weights / weights.sum()).view(1, 1, 1, size)
    padded = F.pad(mask, [size // 2] * 4, mode="replicate")
    with torch.autocast(mask.device.type, enabled=False):  # which would round the targets of D
        return F.conv2d(F.conv2d(padded, kernel), kernel.transpose(2, 3))


def _touched(hole: Tensor | None, logits: Tensor) -> Tensor:
    """Return 1 for the logits that stand for a place with a hole, by the nearest pixel, as LaMa does."""
    if hole is None:
        return torch.ones_like(logits)
    return F.interpolate(hole.to(logits.dtype), size=logits.shape[-2:], mode="nearest")


def _enlarged(output: DiscriminatorOutput, hole: Tensor | None) -> tuple[Tensor, Tensor]:
    logits = widened(output.logits)
    if hole is None:
        return logits, torch.ones_like(logits[:, :1])
    if logits.shape[-2:] != hole.shape[-2:]:
        logits = F.interpolate(logits, size=hole.shape[-2:], mode="bilinear", align_corners=True)
    return logits, hole.to(logits.dtype)
