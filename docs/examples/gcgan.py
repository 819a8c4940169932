"""GcGAN: unpaired translation one way, by consistency with a turned image (Fu et al. 2019, arXiv:1809.05852).

The example of docs/migration.md: a method that was published as a fork of the established tool, as a plugin.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models import MODELS
from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.builder import Builder
from models.losses import GAN_MODES
from models.losses.pixel import l1
from models.networks import DISCRIMINATORS, GENERATORS
from util.option import option


@dataclass(frozen=True)
class GcGANOptions:
    netG: str = option("resnet_6blocks", "generator architecture", "identity", registry=GENERATORS)
    netD: str = option("basic", "discriminator architecture", "identity", registry=DISCRIMINATORS)
    gan_mode: str = option("lsgan", "adversarial loss", registry=GAN_MODES)
    geometry: str = option("rot", "how images are turned: by 90 degrees or upside down", choices=("rot", "vf"))
    lambda_gc: float = option(2.0, "weight of the consistency with the turned image", minimum=0)
    lambda_idt: float = option(0.3, "weight of the identity term; 0 skips it", minimum=0)


@MODELS.register("gcgan", options=GcGANOptions, preset={"dataset_mode": "unaligned", "no_dropout": True})
class GcGAN(TranslationModel):
    """Turning an image and translating it must give the same in either order."""

    loss_names = ("G_GAN", "G_GAN_gc", "gc", "idt", "D", "D_gc")
    visuals = {"real_A": "A", "fake_B": "B", "real_B": "B"}

    def __init__(self, options: GcGANOptions, build: Builder) -> None:
        super().__init__()
        self.G = build.generator(build.channels.A, build.channels.B)
        self.options = options

    def prepare_training(self, build: Builder) -> None:
        self.D = build.discriminator(build.channels.B)
        self.D_gc = build.discriminator(build.channels.B)
        self.adversarial = build.adversarial_loss()

    def turned(self, images: Tensor) -> Tensor:
        """Return (N,C,H,W) upside down, or (N,C,W,H) turned clockwise."""
        return images.flip(2) if self.options.geometry == "vf" else torch.rot90(images, -1, (2, 3))

    def forward(self, batch: Batch) -> Images:
        """Return the translation; in training those of the turned image and of B too."""
        images = {"fake_B": self.G(batch["A"])}
        if self.training and "B" in batch:
            images["gc_B"] = self.G(self.turned(batch["A"]))
            if self.options.lambda_idt:
                images["idt_B"] = self.G(batch["B"])
        return images

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("G", ("G",), self.loss_G, through_images=True),
            Phase("D", ("D", "D_gc"), self.loss_D, scale=0.5, history=("fake_B", "gc_B")),
        )

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        fake, turned = images["fake_B"], images["gc_B"]
        consistency = l1(self.turned(fake), turned)  # turning back compares the same pixels, so both ways cost the same
        losses = {
            "G_GAN": self.adversarial.generator_loss(self.D(fake)),
            "G_GAN_gc": self.adversarial.generator_loss(self.D_gc(turned)),
            "gc": 2 * self.options.lambda_gc * consistency,
        }
        if "idt_B" in images:
            losses["idt"] = self.options.lambda_idt * l1(images["idt_B"], batch["B"])
        return losses

    def loss_D(self, batch: Batch, images: Images) -> Losses:
        real, fake, turned = batch["B"], images["fake_B"], images["gc_B"]
        straight = self.adversarial.discriminator_loss(self.D(real), self.D(fake))
        around = self.adversarial.discriminator_loss(self.D_gc(self.turned(real)), self.D_gc(turned))
        return {"D": sum(straight), "D_gc": sum(around)}
