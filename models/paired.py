"""What the paired GANs share: distances to the target, and a discriminator of the output."""

from __future__ import annotations

from models.base import Batch, Images, Losses, Phase
from models.builder import Builder
from models.losses.mix import ReconstructionMix
from models.losses.pixel import blanked
from models.one_discriminator import OneDiscriminator, Seen
from models.options import PairedOptions
from util.errors import UserError


class PairedGAN(OneDiscriminator):
    """A generator trained by distances to the target and, unless ``--lambda_GAN`` is 0, a discriminator."""

    paired = True
    visuals = {"real_A": "A", "fake_B": "B", "real_B": "B"}
    #: whether the discriminator sees the input beside the output
    conditional = False

    def __init__(self, options: PairedOptions, build: Builder) -> None:
        super().__init__()
        self.G = build.generator(build.channels.A, build.channels.B)
        self.options = options

    def prepare_training(self, build: Builder) -> None:
        self.reconstruction = ReconstructionMix(self.options)
        if not self.reconstruction.terms and not self.options.lambda_GAN:
            raise UserError("--lambda_L1, the other distances' weights and --lambda_GAN are all 0: nothing to train")
        self.add_discriminator(build, build.channels.B + build.channels.A * self.conditional)

    def forward(self, batch: Batch) -> Images:
        return {"fake_B": self.G(batch["A"])}

    def phases(self) -> tuple[Phase, ...]:
        return self.turns("G")

    def view(self, batch: Batch) -> Batch:
        """Return a batch as the losses take it: "A" beside "B" and, where targets are sharpened, "B_plain"."""
        return batch

    def seen(self, batch: Batch, images: Images) -> Seen:
        """Return what D sees: of a target that is sharpened for distances, that from before; blank where unknown."""
        batch = self.view(batch)
        target, mask = batch.get("B_plain", batch["B"]), batch.get("B_mask")
        condition = batch["A"] if self.conditional else None
        return Seen(blanked(target, mask), blanked(images["fake_B"], mask), condition)

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        losses, batch = self.told_by_D(batch, images), self.view(batch)
        return losses | self.reconstruction(images["fake_B"], batch["B"], batch.get("B_mask"))
