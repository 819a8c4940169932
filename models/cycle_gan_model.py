"""CycleGAN: unpaired translation by cycle consistency (Zhu et al. 2017, arXiv:1703.10593)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models import MODELS
from models.base import Batch, Images, Losses, Phase, TranslationModel, split_calls
from models.builder import Builder
from models.gan_losses import GANLosses, present
from models.losses import GAN_MODES
from models.losses.pixel import blanked, l1
from models.networks import GENERATORS
from models.options import DiscriminatorOptions
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class CycleGANOptions(DiscriminatorOptions):
    netG: str = option("resnet_9blocks", "generator architecture", "identity", registry=GENERATORS)
    gan_mode: str = option("lsgan", "adversarial loss", registry=GAN_MODES)
    lambda_A: float = option(10.0, "weight of the cycle A -> B -> A", minimum=0)
    lambda_B: float = option(10.0, "weight of the cycle B -> A -> B", minimum=0)
    lambda_identity: float = option(0.5, "weight of the identity terms relative to the cycles; 0 skips them", minimum=0)


@MODELS.register("cycle_gan", options=CycleGANOptions, preset={"no_dropout": True, "dataset_mode": "unaligned"})
class CycleGAN(TranslationModel):
    """Unpaired translation both ways: what goes there and back must return unchanged.

    G_A translates A to B and D_A discriminates B images; G_B and D_B are the other direction.
    """

    loss_names = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")
    visuals = {
        **{"real_A": "A", "fake_B": "B", "rec_A": "A", "idt_B": "A"},
        **{"real_B": "B", "fake_A": "A", "rec_B": "B", "idt_A": "B"},
    }

    frames = {"real_B": "B", "fake_A": "B", "rec_B": "B", "idt_A": "B"}

    def __init__(self, options: CycleGANOptions, build: Builder) -> None:
        super().__init__()
        build.only_images()
        channels = build.channels
        self.G_A = build.generator(channels.A, channels.B)
        self.G_B = build.generator(channels.B, channels.A)
        self.options = options
        self.identity_weight = 0.0

    def prepare_training(self, build: Builder) -> None:
        channels = build.channels
        if self.options.lambda_identity and channels.A != channels.B:
            raise UserError(
                f"--lambda_identity {self.options.lambda_identity:g} needs as many channels in A ({channels.A}) as "
                f"in B ({channels.B}); set --lambda_identity 0"
            )
        self.D_A = build.discriminator(channels.B)
        self.D_B = build.discriminator(channels.A)
        self.adversarial = build.adversarial_loss()
        self.gan_A, self.gan_B = (GANLosses(D, self.adversarial, self.options) for D in (self.D_A, self.D_B))
        self.augmentation_A, self.augmentation_B = self.gan_A.augmentation, self.gan_B.augmentation
        self.identity_weight = self.options.lambda_identity

    def forward(self, batch: Batch) -> Images:
        """Return both translations, both cycles and, when they are weighted, the identity images."""
        real_A, real_B = batch["A"], batch["B"]
        if self.identity_weight:
            fake_B, idt_A = split_calls(self.G_A, real_A, real_B)
            fake_A, idt_B = split_calls(self.G_B, real_B, real_A)
            identity = {"idt_A": idt_A, "idt_B": idt_B}
        else:
            fake_B, fake_A, identity = self.G_A(real_A), self.G_B(real_B), {}
        return {"fake_B": fake_B, "fake_A": fake_A, "rec_A": self.G_B(fake_B), "rec_B": self.G_A(fake_A)} | identity

    def phases(self) -> tuple[Phase, ...]:
        divisible = not self.adversarial.couples_samples
        return (
            Phase("G", ("G_A", "G_B"), self.loss_G, through_images=True, divisible=divisible),
            self.gan_A.phase(self, "D_A", "D_B", history=("fake_A", "fake_B")),
        )

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        weights, (fake_B, fake_A) = self.options, _fakes(batch, images)
        (G_A, FM_A), (G_B, FM_B) = self.gan_A.loss_G(fake_B, batch["B"]), self.gan_B.loss_G(fake_A, batch["A"])
        losses = {
            "G_A": G_A,
            "cycle_A": weights.lambda_A * l1(images["rec_A"], batch["A"], batch.get("A_mask")),
            "G_B": G_B,
            "cycle_B": weights.lambda_B * l1(images["rec_B"], batch["B"], batch.get("B_mask")),
        } | present({"FM_A": FM_A, "FM_B": FM_B})
        if self.identity_weight:
            scale_A, scale_B = weights.lambda_B * self.identity_weight, weights.lambda_A * self.identity_weight
            losses["idt_A"] = scale_A * l1(images["idt_A"], batch["B"], batch.get("B_mask"))
            losses["idt_B"] = scale_B * l1(images["idt_B"], batch["A"], batch.get("A_mask"))
        return losses

    def loss_D(self, batch: Batch, images: Images) -> Losses:
        fake_B, fake_A = _fakes(batch, images)
        costs = {"D_A": self.gan_A.loss_D(batch["B"], fake_B), "D_B": self.gan_B.loss_D(batch["A"], fake_A)}
        return {name: 0.5 * (real + fake) for name, (real, fake) in costs.items()}

    def penalty_D(self, batch: Batch, images: Images) -> Losses:
        fake_B, fake_A = _fakes(batch, images)
        penalties = {
            "D_A_gp": self.gan_A.penalty(batch["B"], fake_B),
            "D_B_gp": self.gan_B.penalty(batch["A"], fake_A),
        }
        return {name: 0.5 * value for name, value in present(penalties).items()}  # halved as the loss is

    def lazy_penalty_D(self, batch: Batch, images: Images) -> Losses:
        return {"D_A_R1": 0.5 * self.gan_A.r1(batch["B"]), "D_B_R1": 0.5 * self.gan_B.r1(batch["A"])}


def _fakes(batch: Batch, images: Images) -> tuple[Tensor, Tensor]:
    """Return the translations to B and to A as D sees them: blank where the real image beside them is unknown."""
    return blanked(images["fake_B"], batch.get("B_mask")), blanked(images["fake_A"], batch.get("A_mask"))
