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
from models.base import Batch, Images, Losses, Phase, split_calls
from models.builder import Builder
from models.losses import GAN_MODES
from models.losses.mix import ReconstructionMix
from models.losses.pixel import blanked, l1
from models.networks import GENERATORS
from models.one_discriminator import OneDiscriminator, Seen
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
class SemiSupervised(OneDiscriminator):
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
        self.add_discriminator(build, build.channels.B)

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
        return self.turns(*(("G", "back") if self.back else ("G",)), history=("fake_U",))

    def seen(self, batch: Batch, images: Images) -> Seen:
        """Return what D sees: the translation of U is blank where the real target beside it is unknown."""
        return Seen(batch["B"], blanked(images["fake_U"], batch.get("B_mask")))

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        losses = self.reconstruction(images["fake_B"], batch["B"], batch.get("B_mask")) | self.told_by_D(batch, images)
        if weight := self.options.lambda_cycle:
            losses["cycle_U"] = weight * l1(images["rec_U"], _further(batch))
            losses["back_L1"] = weight * l1(self.back(batch["B"]), batch["A"], batch.get("A_mask"))
        return losses


def _further(batch: Batch) -> Tensor:
    """Return the images without targets."""
    return batch.get("U", batch["A"])
