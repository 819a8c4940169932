"""The paired models' reconstruction terms, each switched on by its weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from util.option import option

if TYPE_CHECKING:  # --help reads the options of this file
    from torch import Tensor


class Term(NamedTuple):
    """A distance with its weight; ``masks`` where it can leave pixels out itself."""

    weight: float
    distance: Callable[..., Tensor]
    masks: bool = False


@dataclass(frozen=True)
class MixOptions:
    """Weights of the reconstruction terms; a weight of zero builds nothing."""

    lambda_L1: float = option(100.0, "weight of the L1 distance between output and target", minimum=0)
    lambda_MSE: float = option(0.0, "weight of the mean squared error", minimum=0)
    lambda_charbonnier: float = option(0.0, "weight of the Charbonnier distance, a smooth L1", minimum=0)
    lambda_log_depth: float = option(
        0.0, "weight of the scale-invariant difference of logarithms, for depth; -1 counts as depth 0", minimum=0
    )
    lambda_SSIM: float = option(0.0, "weight of 1 - SSIM", minimum=0)
    lambda_MS_SSIM: float = option(0.0, "weight of 1 - SSIM over several scales", minimum=0)
    lambda_frequency: float = option(0.0, "weight of the focal frequency loss", minimum=0)
    lambda_VGG: float = option(0.0, "weight of the VGG19 perceptual distance", minimum=0)
    vgg_weights: str | None = option(None, "VGG19 weights, by path, URL or hub name; without them torchvision's")
    vgg_layers: tuple[str, ...] = option(
        (), "VGG19 layers to compare, relu5_4 or before activation conv5_4, with weights as conv1_2:0.1; pix2pixHD's"
    )
    vgg_distance: str = option("l1", "distance of VGG19 features", choices=("l1", "mse"))
    lambda_LPIPS: float = option(0.0, "weight of LPIPS", minimum=0)
    lpips_loss_weights: str | None = option(
        None,
        "weights of AlexNet, SqueezeNet or VGG16 for --lambda_LPIPS, by path, URL or hub name; without them "
        "torchvision's cached ones",
    )
    lambda_DINO: float = option(0.0, "weight of the distance of DINO's patch tokens", minimum=0)
    dino_model: str = option("vit_small_patch14_dinov2.lvd142m", "DINO network of timm, or hf-hub:OWNER/NAME")
    dino_weights: str | None = option(
        None, "its weights, by path, URL or hub name; without them timm's, fetched when first needed"
    )


class ReconstructionMix:
    """Weighted distances between output and target, (N,C,H,W) in [-1,1], by the names of the loss log."""

    def __init__(self, options: MixOptions) -> None:
        self.terms = _terms(options) | _perceptual_terms(options)

    def __call__(self, output: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Return each term times its weight.

        Pixels where ``mask`` (N,1,H,W) is zero do not count, or count as equal.
        """
        from models.losses.pixel import blanked

        known = blanked(output, mask), blanked(target, mask)
        return {
            name: term.weight * (term.distance(output, target, mask) if term.masks else term.distance(*known))
            for name, term in self.terms.items()
        }


def _terms(options: MixOptions) -> dict[str, Term]:
    from models.losses.frequency import focal_frequency_loss
    from models.losses.log_depth import scale_invariant_log
    from models.losses.pixel import charbonnier, l1, mse
    from models.losses.structure import ms_ssim_loss, ssim_loss

    terms: dict[str, Term] = {
        "G_L1": Term(options.lambda_L1, l1, masks=True),
        "G_MSE": Term(options.lambda_MSE, mse, masks=True),
        "G_Charbonnier": Term(options.lambda_charbonnier, charbonnier, masks=True),
        "G_log_depth": Term(options.lambda_log_depth, scale_invariant_log, masks=True),
        "G_SSIM": Term(options.lambda_SSIM, ssim_loss),
        "G_MS_SSIM": Term(options.lambda_MS_SSIM, ms_ssim_loss),
        "G_frequency": Term(options.lambda_frequency, focal_frequency_loss),
    }
    return {name: term for name, term in terms.items() if term.weight}


def _perceptual_terms(options: MixOptions) -> dict[str, Term]:
    """Return the distances by networks, which need files."""
    terms: dict[str, Term] = {}
    if options.lambda_VGG:
        from models.losses.perceptual import VGGPerceptualLoss, parse_layers

        layers = parse_layers(options.vgg_layers)
        terms["G_VGG"] = Term(options.lambda_VGG, VGGPerceptualLoss(options.vgg_weights, layers, options.vgg_distance))
    if options.lambda_LPIPS:
        from models.losses.lpips import LPIPSLoss

        terms["G_LPIPS"] = Term(options.lambda_LPIPS, LPIPSLoss(options.lpips_loss_weights))
    if options.lambda_DINO:
        from models.losses.dino import DINOLoss

        terms["G_DINO"] = Term(options.lambda_DINO, DINOLoss(options.dino_model, options.dino_weights))
    return terms
