"""Depth of structures on a flat background: its map, where the background is, and the level that this lies at.

Three networks learn from pairs alone, for the depth map itself says which pixels are background: those near a low (or
high) quantile of its depths. What is taken for background is then given the one level that was found for the image, in
place of its noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models import MODELS
from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.builder import Builder
from models.losses.mix import MixOptions, ReconstructionMix
from models.losses.pixel import l1, mse
from models.networks import GENERATORS
from models.networks.whole_image import WholeImageNet
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class LevelsOptions(MixOptions):
    netG: str = option("unet_256", "generator architecture", "identity", registry=GENERATORS)
    level_encoder: str = option("resnet18", "timm network that finds the level of the background", "identity")
    level_quantile: float = option(
        0.1, "where the background lies among the depths of a map: 0.1 lowest, 0.9 highest", minimum=0, maximum=1
    )
    level_tolerance: float = option(
        0.01, "how far from its level a pixel still is background, as a part of the value range", minimum=0
    )
    lambda_level: float = option(100.0, "weight of the L1 distance to the background's level", minimum=0)
    lambda_background: float = option(10.0, "weight of the error in where the background is", minimum=0)


@MODELS.register("levels", options=LevelsOptions, preset={"norm": "batch", "dataset_mode": "aligned"})
class Levels(TranslationModel):
    """Paired regression whose background snaps to one level, found for the image as a whole."""

    loss_names = ("G_L1", "level", "background")
    paired = True
    visuals = {"real_A": "A", "fake_B": "B", "raw_B": "B", "background": "B", "level": "B", "real_B": "B"}

    def __init__(self, options: LevelsOptions, build: Builder) -> None:
        super().__init__()
        channels = build.channels
        self.G = build.generator(channels.A, channels.B)
        self.M = build.generator(channels.A, 1)
        self.L = build.as_published(WholeImageNet(options.level_encoder, channels.A, channels.B))
        self.options = options

    def prepare_training(self, build: Builder) -> None:
        self.reconstruction = ReconstructionMix(self.options)
        if not self.reconstruction.terms:
            raise UserError("--lambda_L1 0: no distance to the target has a weight; give one")

    def forward(self, batch: Batch) -> Images:
        """Return the plain depth, 1 for background and -1 for structures, the level, and what comes of the three."""
        raw, level = self.G(batch["A"]), self.L(batch["A"]).tanh()
        background = self.M(batch["A"]).expand_as(raw)
        return self.decide({"fake_B": raw, "raw_B": raw, "background": background, "level": level})

    def decide(self, images: Images) -> Images:
        """Return the images with the level where, by the mean of several versions, the background is."""
        if "background" not in images:  # joined with runs of another method
            return images
        snapped = torch.where(images["background"] > 0, images["level"], images["raw_B"])
        return images | {"fake_B": snapped}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("G", ("G", "M", "L"), self.loss_G, through_images=True),)

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        weights, target, mask = self.options, batch["B"], batch.get("B_mask")
        level, background = find_background(target, weights.level_quantile, weights.level_tolerance, mask)
        wanted = (background * 2 - 1).expand_as(target)
        known = None if mask is None else mask.amax((2, 3), keepdim=True)  # a sample without depths has no level
        return self.reconstruction(images["raw_B"], target, mask) | {
            "level": weights.lambda_level * l1(images["level"], level.expand_as(target), known),
            "background": weights.lambda_background * mse(images["background"], wanted, mask),
        }


def find_background(
    depth: Tensor, quantile: float, tolerance: float, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the background's level (N,C,1,1) and 1 where it is, (N,1,H,W), of depth maps (N,C,H,W) in [-1,1].

    The level is the mean of the pixels near a quantile of the depths, background what is near it.

    Args:
        tolerance: how near, as a part of the range of 2.
        mask: pixels where it is 0, (N,1,H,W), are no depths.
    """
    valid = torch.ones_like(depth, dtype=torch.bool) if mask is None else (mask != 0).expand_as(depth)
    ordered = depth.masked_fill(~valid, torch.inf).flatten(2).sort(2).values
    place = (quantile * (valid.flatten(2).sum(2, keepdim=True) - 1).clamp_min(0)).round().long()
    start = ordered.gather(2, place)[..., None].nan_to_num(posinf=0.0)
    near = valid & ((depth - start).abs() <= 2 * tolerance)
    total = depth.masked_fill(~near, 0).sum((2, 3), keepdim=True)
    level = total / near.sum((2, 3), keepdim=True).clamp_min(1)
    inside = valid & ((depth - level).abs() <= 2 * tolerance)
    return level, inside.all(1, keepdim=True).to(depth.dtype)
