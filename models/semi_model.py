"""Pairs, and images without targets: distances on the former, what they look like on the latter.

Images of the target's domain are known from the pairs, so that a discriminator can ask of translations of unpaired
images too that they look so. A way back adds that nothing of them may be lost (the cycle of Zhu et al. 2017,
arXiv:1703.10593); it is learned on the pairs as well, so that it cannot be a private code of the two networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from models import MODELS
from models.base import Batch, Images, Losses, Phase, TranslationModel, split_calls
from models.builder import Builder
from models.gan_losses import GANLosses, present, refuse_discriminator_flags
from models.losses import GAN_MODES
from models.losses.mix import ReconstructionMix
from models.losses.pixel import blanked, l1
from models.networks import GENERATORS
from models.options import PairedOptions
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class SemiOptions(PairedOptions):
    netG: str = option("unet_256", "generator architecture", "identity", registry=GENERATORS)
    gan_mode: str = option("lsgan", "adversarial loss", registry=GAN_MODES)
    lambda_GAN: float = option(1.0, "weight of the adversarial term on images without targets", minimum=0)
    lambda_cycle: float = option(
        0.0, "weight of the way back from translations to images without targets, and of its pairs", minimum=0
    )


@MODELS.register("semi", options=SemiOptions, preset={"norm": "batch", "netG": "unet_256", "dataset_mode": "semi"})
class SemiSupervised(TranslationModel):
    """Paired translation that also learns from source images without targets, "U" of a batch."""

    loss_names = ("G_GAN", "G_L1", "cycle_U", "back_L1", "D_real", "D_fake")
    needs = ("A", "B", "U")
    paired = True
    visuals = {"real_A": "A", "fake_B": "B", "real_B": "B", "real_U": "A", "fake_U": "B", "rec_U": "A"}
    frames = {"real_B": "B", "real_U": "U", "fake_U": "U", "rec_U": "U"}

    def __init__(self, options: SemiOptions, build: Builder) -> None:
        super().__init__()
        self.G = build.generator(build.channels.A, build.channels.B)
        self.back: Any = None
        self.options = options

    def prepare_training(self, build: Builder) -> None:
        weights = self.options
        self.reconstruction = ReconstructionMix(weights)
        if not weights.lambda_GAN and not weights.lambda_cycle:
            raise UserError("--lambda_GAN 0 --lambda_cycle 0: nothing learns from images without targets; use pix2pix")
        if weights.lambda_cycle:
            build.only_images()
            self.back = build.generator(build.channels.B, build.channels.A)
        if weights.lambda_GAN:
            self.D = build.discriminator(build.channels.B)
            self.adversarial = build.adversarial_loss()
            self.gan = GANLosses(self.D, self.adversarial, weights)
            self.augmentation = self.gan.augmentation
        else:
            refuse_discriminator_flags(weights)

    def forward(self, batch: Batch) -> Images:
        """Return the translation of A; where there is a U also its translation and, with a way back, what returns.

        Batches without a U, such as those that memory is tried with, train as if A were one.
        """
        if "U" not in batch and not self.training:
            return {"fake_B": self.G(batch["A"])}
        fake_B, fake_U = split_calls(self.G, batch["A"], _further(batch))
        return {"fake_B": fake_B, "fake_U": fake_U} | ({"rec_U": self.back(fake_U)} if self.back else {})

    def predict(self, batch: Batch) -> Images:
        images = super().predict(batch) | ({"real_U": batch["U"]} if "U" in batch else {})
        return {label: images[label] for label in self.visuals if label in images}

    def phases(self) -> tuple[Phase, ...]:
        players = ("G", "back") if self.back else ("G",)
        if not self.options.lambda_GAN:
            return (Phase("G", players, self.loss_G, through_images=True),)
        divisible = not self.adversarial.couples_samples
        return (
            self.gan.phase(self, scale=0.5, history=("fake_U",)),
            Phase("G", players, self.loss_G, through_images=True, divisible=divisible),
        )

    def loss_D(self, batch: Batch, images: Images) -> Losses:
        real, fake = self.gan.loss_D(batch["B"], _shown(batch, images))
        return {"D_real": real, "D_fake": fake}

    def penalty_D(self, batch: Batch, images: Images) -> Losses:
        return present({"D_gp": self.gan.penalty(batch["B"], _shown(batch, images))})

    def lazy_penalty_D(self, batch: Batch, images: Images) -> Losses:
        return {"D_R1": self.gan.r1(batch["B"])}

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        weights = self.options
        losses = self.reconstruction(images["fake_B"], batch["B"], batch.get("B_mask"))
        if weights.lambda_GAN:
            adversarial, matching = self.gan.loss_G(_shown(batch, images), batch["B"])
            losses |= present({"G_GAN": weights.lambda_GAN * adversarial, "G_FM": matching})
        if weights.lambda_cycle:
            losses["cycle_U"] = weights.lambda_cycle * l1(images["rec_U"], _further(batch))
            losses["back_L1"] = weights.lambda_cycle * l1(self.back(batch["B"]), batch["A"], batch.get("A_mask"))
        return losses


def _shown(batch: Batch, images: Images) -> Tensor:
    """Return the translation of U as D sees it: blank where the real target beside it is unknown."""
    return blanked(images["fake_U"], batch.get("B_mask"))


def _further(batch: Batch) -> Tensor:
    """Return the images without targets."""
    return batch.get("U", batch["A"])
