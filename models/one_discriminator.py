"""What methods with one discriminator share: its losses, what it tells the generator, and whose turn comes when."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.builder import Builder
from models.gan_losses import GANLosses, present, refuse_discriminator_flags


class Seen(NamedTuple):
    """What the discriminator sees of a batch: real and generated images (N,C,H,W), and what lies around both.

    ``condition`` (N,c,H,W) stands in front of them; ``hole`` (N,1,H,W) is 1 where something was painted.
    """

    real: Tensor
    fake: Tensor
    condition: Tensor | None = None
    hole: Tensor | None = None


class OneDiscriminator(TranslationModel):
    """A method whose results one discriminator, ``D``, tells from real images, unless ``--lambda_GAN`` is 0."""

    options: Any

    def add_discriminator(self, build: Builder, input_nc: int, **how: Any) -> None:
        """Build D and its losses; UserError where flags ask something of it and there is none.

        Args:
            input_nc: of all that D sees.
            how: further arguments of :class:`GANLosses`.
        """
        if not self.options.lambda_GAN:
            refuse_discriminator_flags(self.options)
            return
        self.D = build.discriminator(input_nc)
        self.adversarial = build.adversarial_loss()
        self.gan = GANLosses(self.D, self.adversarial, self.options, **how)
        self.augmentation = self.gan.augmentation

    def seen(self, batch: Batch, images: Images) -> Seen:
        """Return what D sees of a batch and of the images made of it."""
        raise NotImplementedError

    def turns(self, *networks: str, history: tuple[str, ...] = ()) -> tuple[Phase, ...]:
        """Return the phase of D, where there is one, and that of the networks that learn by ``loss_G``."""
        if not self.options.lambda_GAN:
            return (Phase("G", networks, self.loss_G, through_images=True),)
        divisible = not self.adversarial.couples_samples
        return (
            self.gan.phase(self, scale=0.5, history=history),
            Phase("G", networks, self.loss_G, through_images=True, divisible=divisible),
        )

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        """Return the losses of the generators."""
        raise NotImplementedError

    def told_by_D(self, batch: Batch, images: Images) -> Losses:
        """Return D's part of :meth:`loss_G`, weighted; empty where there is no D."""
        if not self.options.lambda_GAN:
            return {}
        real, fake, *around = self.seen(batch, images)
        adversarial, matching = self.gan.loss_G(fake, real, *around)
        return present({"G_GAN": self.options.lambda_GAN * adversarial, "G_FM": matching})

    def loss_D(self, batch: Batch, images: Images) -> Losses:
        """Return what real and generated images cost D."""
        real, fake = self.gan.loss_D(*self.seen(batch, images))
        return {"D_real": real, "D_fake": fake}

    def penalty_D(self, batch: Batch, images: Images) -> Losses:
        """Return the penalty of the ``--gan_mode``, where it has one."""
        return present({"D_gp": self.gan.penalty(*self.seen(batch, images))})

    def lazy_penalty_D(self, batch: Batch, images: Images) -> Losses:
        """Return R1, for every ``--R1_every``-th step."""
        real, _, *around = self.seen(batch, images)
        return {"D_R1": self.gan.r1(real, *around)}
