"""The paired model's reconstruction terms, each switched on by its weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from util.option import option

if TYPE_CHECKING:  # --help reads the options of this file
    from torch import Tensor


@dataclass(frozen=True)
class MixOptions:
    """Weights of the reconstruction terms; a weight of zero builds nothing."""

    lambda_L1: float = option(100.0, "weight of the L1 distance between output and target", minimum=0)
    lambda_MSE: float = option(0.0, "weight of the mean squared error", minimum=0)
    lambda_VGG: float = option(0.0, "weight of the VGG19 perceptual distance", minimum=0)
    vgg_weights: str | None = option(None, "local file of VGG19 weights; without it torchvision's are used")


class ReconstructionMix:
    """Weighted distances between output and target, (N,C,H,W) in [-1,1], by the names of the loss log."""

    def __init__(self, options: MixOptions) -> None:
        self.terms: dict[str, tuple[float, Callable[..., Tensor]]] = {}
        if options.lambda_L1:
            from models.losses.pixel import l1

            self.terms["G_L1"] = options.lambda_L1, l1
        if options.lambda_MSE:
            from models.losses.pixel import mse

            self.terms["G_MSE"] = options.lambda_MSE, mse
        if options.lambda_VGG:
            from models.losses.perceptual import VGGPerceptualLoss

            self.terms["G_VGG"] = options.lambda_VGG, VGGPerceptualLoss(weights=options.vgg_weights)

    def __call__(self, output: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Return each term times its weight; pixels where ``mask`` (N,1,H,W) is zero do not count in pixel terms."""
        return {
            name: weight * (distance(output, target) if name == "G_VGG" else distance(output, target, mask))
            for name, (weight, distance) in self.terms.items()
        }
