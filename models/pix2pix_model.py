"""pix2pix: paired translation by a conditional GAN (Isola et al. 2017, arXiv:1611.07004)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models import MODELS
from models.base import Batch, Images, Losses, Phase, TranslationModel, fooling_loss, split_calls
from models.builder import Builder
from models.losses import GAN_MODES
from models.losses.mix import MixOptions, ReconstructionMix
from models.networks import DISCRIMINATORS, GENERATORS
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class Pix2PixOptions(MixOptions):
    netG: str = option("unet_256", "generator architecture", "identity", registry=GENERATORS)
    netD: str = option("basic", "discriminator architecture", "identity", registry=DISCRIMINATORS)
    gan_mode: str = option("vanilla", "adversarial loss", registry=GAN_MODES)
    lambda_GAN: float = option(1.0, "weight of the adversarial term; 0 trains without a discriminator", minimum=0)


@MODELS.register(
    "pix2pix",
    options=Pix2PixOptions,
    preset={"norm": "batch", "netG": "unet_256", "dataset_mode": "aligned", "gan_mode": "vanilla", "pool_size": 0},
)
class Pix2Pix(TranslationModel):
    """Paired translation: L1 and other distances to the target, and a discriminator that sees input and output."""

    loss_names = ("G_GAN", "G_L1", "G_MSE", "G_VGG", "D_real", "D_fake")
    paired = True
    visuals = {"real_A": "A", "fake_B": "B", "real_B": "B"}

    def __init__(self, options: Pix2PixOptions, build: Builder) -> None:
        super().__init__()
        self.G = build.generator(build.channels.A, build.channels.B)
        self.options = options

    def prepare_training(self, build: Builder) -> None:
        self.reconstruction = ReconstructionMix(self.options)
        if not self.reconstruction.terms and not self.options.lambda_GAN:
            raise UserError("--lambda_L1, the other distances' weights and --lambda_GAN are all 0: nothing to train")
        if self.options.lambda_GAN:
            self.D = build.discriminator(build.channels.A + build.channels.B)
            self.adversarial = build.adversarial_loss()

    def forward(self, batch: Batch) -> Images:
        return {"fake_B": self.G(batch["A"])}

    def phases(self) -> tuple[Phase, ...]:
        if not self.options.lambda_GAN:
            return (Phase("G", ("G",), self.loss_G, through_images=True),)
        divisible = not self.adversarial.couples_samples
        return (
            Phase("D", ("D",), self.loss_D, scale=0.5, penalty=self.penalty_D, divisible=divisible),
            Phase("G", ("G",), self.loss_G, through_images=True, divisible=divisible),
        )

    def loss_D(self, batch: Batch, images: Images) -> Losses:
        real_logits, fake_logits = split_calls(self.D, _pair(batch, batch["B"]), _pair(batch, images["fake_B"]))
        real, fake = self.adversarial.discriminator_loss(real_logits, fake_logits)
        return {"D_real": real, "D_fake": fake}

    def penalty_D(self, batch: Batch, images: Images) -> Losses:
        penalty = self.adversarial.penalty(self.D, _pair(batch, batch["B"]), _pair(batch, images["fake_B"]))
        return {} if penalty is None else {"D_gp": penalty}

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        losses: Losses = {}
        if self.options.lambda_GAN:
            fake, real = _pair(batch, images["fake_B"]), _pair(batch, batch["B"])
            losses["G_GAN"] = self.options.lambda_GAN * fooling_loss(self.adversarial, self.D, fake, real)
        return losses | self.reconstruction(images["fake_B"], batch["B"], batch.get("B_mask"))


def _pair(batch: Batch, target: Tensor) -> Tensor:
    """Return input and target side by side in the channels, as the conditional discriminator sees them."""
    return torch.cat([batch["A"], target], 1)
