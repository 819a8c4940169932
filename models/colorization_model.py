"""Colorization: pix2pix from the lightness L to the colours a, b of Lab (Zhang et al. 2016, arXiv:1603.08511)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from models import MODELS
from models.base import Batch, Images
from models.builder import Builder
from models.losses import GAN_MODES
from models.networks import GENERATORS
from models.networks.lab import LabColorizer, rgb_to_lab
from models.options import PairedOptions
from models.paired import PairedGAN
from util.option import option


@dataclass(frozen=True)
class ColorizationOptions(PairedOptions):
    netG: str = option("unet_256", "generator architecture", "identity", registry=GENERATORS)
    gan_mode: str = option("vanilla", "adversarial loss", registry=GAN_MODES)
    colorspace: str = option("lab", "what the generator makes: a, b of Lab for L", "identity", choices=("lab",))


@MODELS.register(
    "colorization",
    options=ColorizationOptions,
    preset={"norm": "batch", "netG": "unet_256", "dataset_mode": "colorization", "gan_mode": "vanilla", "pool_size": 0},
)
class Colorization(PairedGAN):
    """Colours for grey images: the generator sees the lightness of a photo and makes a and b of Lab.

    Images are whole, grey or in colour; only the lightness of A and the colours of B count. Losses and discriminator
    see L and a, b.
    """

    loss_names = ("G_GAN", "G_L1", "G_MSE", "G_VGG", "D_real", "D_fake")
    visuals = {"real_A": "A", "real_B_rgb": "B", "fake_B_rgb": "B", "real_B": "B"}
    frames = {"real_B_rgb": "B"}
    result, truth = "fake_B_rgb", "real_B_rgb"
    conditional = True
    G: Any

    def __init__(self, options: ColorizationOptions, build: Builder) -> None:
        build.only_images()
        super().__init__(options, build.with_channels(1, 2))
        self.G = LabColorizer(self.G)

    def prepare_training(self, build: Builder) -> None:
        super().prepare_training(build.with_channels(1, 2))

    def forward(self, batch: Batch) -> Images:
        return {"fake_B": self.G.colours(batch["A"])}

    def view(self, batch: Batch) -> Batch:
        """Return L in place of A, and a, b in place of B, unless that is what B is."""
        target = batch["B"]
        return {**batch, "A": rgb_to_lab(batch["A"])[0], "B": target if target.shape[1] == 2 else rgb_to_lab(target)[1]}

    def shown(self, batch: Batch, images: Images) -> Images:
        shown = {"real_A": rgb_to_lab(batch["A"])[0], "fake_B_rgb": self.G(batch["A"])}
        if "B" in batch:
            shown["real_B_rgb"] = batch["B"]
        return {label: shown[label] for label in self.visuals if label in shown}

    @torch.no_grad()
    def predict(self, batch: Batch) -> Images:
        return self.shown(batch, {})
