"""Inpainting: holes are filled so that they fit what is known around them.

One method for LaMa (Suvorov et al. 2022, arXiv:2109.07161), DeepFillv2 (Yu et al. 2019, arXiv:1806.03589), AOT-GAN
(Zeng et al. 2021, arXiv:2104.01431) and GIN (Li et al. 2020, arXiv:2008.07173): they differ in networks, in what their
discriminator sees, and in the weights of their losses. Images are in [-1,1]; weights published for [0,1] are brought
into this range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models import MODELS
from models.base import Batch, Images, Losses, Phase
from models.builder import Builder
from models.gan_losses import Holes
from models.losses import GAN_MODES
from models.losses.holes import feature_distance, total_variation, weighted_l1
from models.losses.mix import MixOptions, ReconstructionMix
from models.losses.pixel import blanked, l1, mse
from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.holes import continue_smoothly, fill_holes, split_holes
from models.one_discriminator import OneDiscriminator, Seen
from models.options import DiscriminatorOptions
from util.errors import UserError
from util.option import option

Distance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class InpaintOptions(MixOptions, DiscriminatorOptions):
    netG: str = option("lama", "generator architecture", "identity", registry=GENERATORS)
    netD: str = option("lama", "discriminator architecture", "identity", registry=DISCRIMINATORS)
    gan_mode: str = option("hole_patches", "adversarial loss", registry=GAN_MODES)
    hole_start: str = option(
        "black",
        "what is in the holes before the generator paints them: black; smooth, a continuation of what is around, to "
        "which the generator adds",
        "identity",
        choices=("black", "smooth"),
    )
    D_input: str = option(
        "composed",
        "what the discriminator sees: output, all that the generator painted; composed, with the known pixels in "
        "place; mask, that and the mask",
        choices=("output", "composed", "mask"),
    )
    lambda_L1: float = option(1.0, "weight of the L1 distance between output and target, all pixels alike", minimum=0)
    lambda_known: float = option(0.0, "further weight of L1 where pixels are known", minimum=0)
    lambda_hole: float = option(0.0, "further weight of L1 in the hole", minimum=0)
    lambda_hole_MSE: float = option(0.0, "weight of the mean squared error over the pixels of the hole", minimum=0)
    lambda_coarse: float = option(
        0.0, "weight of these L1 distances for the first result of a coarse-to-fine generator", minimum=0
    )
    lambda_style: float = option(0.0, "weight of the distance of textures, by VGG19", minimum=0)
    lambda_HRF: float = option(0.0, "weight of the perceptual distance that sees far, by a dilated ResNet50", minimum=0)
    resnet_weights: str | None = option(None, "that ResNet50's weights, by path, URL or hub name")
    lambda_TV: float = option(0.0, "weight of the total variation of the filled image", minimum=0)
    lambda_GAN: float = option(0.1, "weight of the adversarial term; 0 trains without a discriminator", minimum=0)

    fills_holes = True


_COMMON = {"dataset_mode": "inpaint", "pool_size": 0}


@MODELS.register("inpaint", options=InpaintOptions, preset={**_COMMON, "lambda_hole": 5.0})
@MODELS.register(
    "lama",
    options=InpaintOptions,
    preset={
        **_COMMON,
        "netG": "lama",
        "netD": "lama",
        "gan_mode": "hole_patches",
        "D_input": "output",
        "lambda_L1": 0.0,
        "lambda_known": 5.0,  # 10 for [0,1]
        "lambda_GAN": 10.0,
        "lambda_FM": 100.0,
        "lambda_HRF": 30.0,
        "lr": 1e-3,
        "lr_D": 1e-4,
        "beta1": 0.9,
        "batch_size": 8,
    },
)
@MODELS.register(
    "deepfillv2",
    options=InpaintOptions,
    preset={
        **_COMMON,
        "netG": "deepfillv2",
        "netD": "sn_patchgan",
        "gan_mode": "hinge",
        "D_input": "mask",
        "lambda_L1": 1.0,
        "lambda_coarse": 1.0,
        "lambda_GAN": 1.0,
        "lr": 1e-4,
        "batch_size": 16,
    },
)
@MODELS.register(
    "aot_gan",
    options=InpaintOptions,
    preset={
        **_COMMON,
        "netG": "aot_gan",
        "netD": "aot_gan",
        "gan_mode": "soft_mask",
        "D_input": "composed",
        "lambda_L1": 1.0,
        "lambda_VGG": 0.1,
        "vgg_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        "lambda_style": 250.0,
        "lambda_GAN": 0.01,
        "lr": 1e-4,
        "crop_size": 512,
        "batch_size": 8,
    },
)
@MODELS.register(
    "gin",
    options=InpaintOptions,
    preset={
        **_COMMON,
        "netG": "gin",
        "netD": "sn_patchgan",
        "gan_mode": "hinge",
        "D_input": "mask",
        "lambda_L1": 0.0,
        "lambda_known": 1.0,
        "lambda_hole": 5.0,
        "lambda_coarse": 1.0,
        "lambda_VGG": 0.05,
        "lambda_style": 80.0,
        "lambda_TV": 0.1,
        "lambda_GAN": 1e-3,
        "lambda_FM": 0.04,
        "lr": 1e-4,
        "lr_D": 4e-4,
    },
)
class Inpaint(OneDiscriminator):
    """Inpainting: "A" is an image and its mask, the result has the known pixels of A and painted ones in the hole."""

    loss_names = ("G_GAN", "G_FM", "G_L1", "G_known", "G_hole", "G_hole_MSE", "G_coarse", "G_VGG", "D_real", "D_fake")
    paired = True
    visuals = {"real_A": "A", "fake_B": "B", "real_B": "B"}

    def __init__(self, options: InpaintOptions, build: Builder) -> None:
        super().__init__()
        build.only_images()
        image, given = build.channels.B, build.channels.A
        if given != image + 1:
            raise UserError(f"--input_nc {given}: inpainting takes the image and its mask: give --input_nc {image + 1}")
        self.G = build.generator(given, image)
        self.options = options

    def prepare_training(self, build: Builder) -> None:
        self.reconstruction = ReconstructionMix(self.options)
        self.distances = _distances(self.options)
        if not (self.reconstruction.terms or self.distances or _pixels(self.options) or self.options.lambda_GAN):
            raise UserError("--lambda_L1, the other distances' weights and --lambda_GAN are all 0: nothing to train")
        sees = self.options.D_input == "mask"
        holes: Holes = "seen" if sees else "known"
        self.add_discriminator(build, build.channels.B + sees, holes=holes, matching=feature_distance)

    @property
    def by_pixels(self) -> bool:
        """Return whether :meth:`network_input` looks at single pixels, so that it can be cut into tiles."""
        return self.options.hole_start == "black"

    @property
    def not_exportable(self) -> str:
        """Return why other programs cannot run the method as it is; empty where they can."""
        return "" if self.by_pixels else "--hole_start smooth halves an image of any size too often for their formats"

    def network_input(self, given: Tensor) -> Tensor:
        """Return what the generator takes (N,C+1,H,W) of an image and its mask."""
        image, mask = split_holes(given)
        start = fill_holes(image, mask, -1.0) if self.by_pixels else continue_smoothly(image, mask)
        return torch.cat([start, 2 * mask - 1], 1)

    def forward(self, batch: Batch) -> Images:
        """Return "fake_B", the image with its holes filled, and "made_B", what the generator painted everywhere.

        In training a coarse-to-fine generator gives its first result as "coarse_B" too.
        """
        image, mask = split_holes(batch["A"])
        x = self.network_input(batch["A"])
        coarse = self.training and self.options.lambda_coarse and getattr(self.G, "coarse_to_fine", False)
        passes = [made.to(image.dtype) for made in (self.G.passes(x) if coarse else (self.G(x),))]  # type: ignore[operator]
        passes = passes if self.by_pixels else [x[:, :-1] + made for made in passes]
        found = {"fake_B": torch.where(mask > 0, passes[-1], image), "made_B": passes[-1]}
        return found | ({"coarse_B": passes[0]} if coarse else {})

    @torch.no_grad()
    def predict(self, batch: Batch) -> Images:
        image, mask = split_holes(batch["A"])
        shown = {"real_A": fill_holes(image, mask, -1.0), "fake_B": self.forward(batch)["fake_B"]}
        return shown | ({"real_B": batch["B"]} if "B" in batch else {})

    def phases(self) -> tuple[Phase, ...]:
        return self.turns("G")

    def seen(self, batch: Batch, images: Images) -> Seen:
        """Return what D sees: all that was painted or the filled image, both blank where the target is unknown."""
        made = images["made_B" if self.options.D_input == "output" else "fake_B"]
        return Seen(_true(batch), blanked(made, batch.get("B_mask")), hole=_hole(batch))

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        made, losses = images["made_B"], self.told_by_D(batch, images)
        losses |= self.reconstruction(made, batch["B"], batch.get("B_mask"))
        losses |= self._pixel_terms(batch, made)
        if "coarse_B" in images:
            losses["G_coarse"] = self.options.lambda_coarse * self._coarse(batch, images["coarse_B"])
        known = blanked(made, batch.get("B_mask"))
        losses |= {name: weight * distance(known, _true(batch)) for name, (weight, distance) in self.distances.items()}
        if self.options.lambda_TV:
            losses["G_TV"] = self.options.lambda_TV * total_variation(images["fake_B"])
        return losses

    def _pixel_terms(self, batch: Batch, made: Tensor) -> Losses:
        """Return the distances that know the hole, each where it has a weight."""
        options, hole = self.options, _hole(batch)
        counts = batch.get("B_mask", torch.ones_like(hole))
        losses = {}
        if options.lambda_known:
            losses["G_known"] = options.lambda_known * weighted_l1(made, batch["B"], (1 - hole) * counts)
        if options.lambda_hole:
            losses["G_hole"] = options.lambda_hole * weighted_l1(made, batch["B"], hole * counts)
        if options.lambda_hole_MSE:
            losses["G_hole_MSE"] = options.lambda_hole_MSE * mse(made, batch["B"], hole * counts)
        return losses

    def _coarse(self, batch: Batch, coarse: Tensor) -> Tensor:
        terms = self._pixel_terms(batch, coarse)
        found = [value for name, value in terms.items() if name in ("G_known", "G_hole")]
        if self.options.lambda_L1:
            found.append(self.options.lambda_L1 * l1(coarse, batch["B"], batch.get("B_mask")))
        return torch.stack(found).sum() if found else coarse.sum() * 0


def _true(batch: Batch) -> Tensor:
    """Return the target, blank where it is unknown, as what is made is where both are looked at as a whole."""
    return blanked(batch["B"], batch.get("B_mask"))


def _hole(batch: Batch) -> Tensor:
    return split_holes(batch["A"])[1]


def _pixels(options: InpaintOptions) -> float:
    return options.lambda_known + options.lambda_hole + options.lambda_hole_MSE


def _distances(options: InpaintOptions) -> dict[str, tuple[float, Distance]]:
    """Return the distances of features by the names of the loss log, with their weights; only those that have one."""
    found: dict[str, tuple[float, Distance]] = {}
    if options.lambda_style:
        from models.losses.style import StyleLoss

        found["G_style"] = options.lambda_style, StyleLoss(options.vgg_weights)
    if options.lambda_HRF:
        from models.losses.resnet import FarSightedLoss

        found["G_HRF"] = options.lambda_HRF, FarSightedLoss(options.resnet_weights)
    return found
