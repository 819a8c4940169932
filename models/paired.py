"""What the paired GANs share: distances to the target, and a discriminator of the output."""

from __future__ import annotations

from torch import Tensor

from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.builder import Builder
from models.gan_losses import GANLosses, present, refuse_discriminator_flags
from models.losses.mix import ReconstructionMix
from models.losses.pixel import blanked
from models.options import PairedOptions
from util.errors import UserError


class PairedGAN(TranslationModel):
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
        if self.options.lambda_GAN:
            self.D = build.discriminator(build.channels.B + build.channels.A * self.conditional)
            self.adversarial = build.adversarial_loss()
            self.gan = GANLosses(self.D, self.adversarial, self.options)
            self.augmentation = self.gan.augmentation
        else:
            refuse_discriminator_flags(self.options)

    def forward(self, batch: Batch) -> Images:
        return {"fake_B": self.G(batch["A"])}

    def phases(self) -> tuple[Phase, ...]:
        if not self.options.lambda_GAN:
            return (Phase("G", ("G",), self.loss_G, through_images=True),)
        divisible = not self.adversarial.couples_samples
        return (
            self.gan.phase(self, scale=0.5),
            Phase("G", ("G",), self.loss_G, through_images=True, divisible=divisible),
        )

    def view(self, batch: Batch) -> Batch:
        """Return a batch as the losses take it: "A" beside "B" and, where targets are sharpened, "B_plain"."""
        return batch

    def loss_D(self, batch: Batch, images: Images) -> Losses:
        batch = self.view(batch)
        real, fake = self.gan.loss_D(_true(batch), _made(batch, images), self._condition(batch))
        return {"D_real": real, "D_fake": fake}

    def penalty_D(self, batch: Batch, images: Images) -> Losses:
        batch = self.view(batch)
        return present({"D_gp": self.gan.penalty(_true(batch), _made(batch, images), self._condition(batch))})

    def lazy_penalty_D(self, batch: Batch, images: Images) -> Losses:
        batch = self.view(batch)
        return {"D_R1": self.gan.r1(_true(batch), self._condition(batch))}

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        losses: Losses = {}
        batch, fake = self.view(batch), images["fake_B"]
        if self.options.lambda_GAN:
            adversarial, matching = self.gan.loss_G(_made(batch, images), _true(batch), self._condition(batch))
            losses = present({"G_GAN": self.options.lambda_GAN * adversarial, "G_FM": matching})
        return losses | self.reconstruction(fake, batch["B"], batch.get("B_mask"))

    def _condition(self, batch: Batch) -> Tensor | None:
        return batch["A"] if self.conditional else None


def _true(batch: Batch) -> Tensor:
    """Return what the discriminator sees as true: where distances are to a sharpened target, that from before."""
    return blanked(batch.get("B_plain", batch["B"]), batch.get("B_mask"))


def _made(batch: Batch, images: Images) -> Tensor:
    """Return what it sees as made; what is unknown of the target must not tell the two apart."""
    return blanked(images["fake_B"], batch.get("B_mask"))
