"""pix2pix: paired translation by a conditional GAN (Isola et al. 2017, arXiv:1611.07004)."""

from __future__ import annotations

from dataclasses import dataclass

from models import MODELS
from models.losses import GAN_MODES
from models.networks import GENERATORS
from models.options import PairedOptions
from models.paired import PairedGAN
from util.option import option


@dataclass(frozen=True)
class Pix2PixOptions(PairedOptions):
    netG: str = option("unet_256", "generator architecture", "identity", registry=GENERATORS)
    gan_mode: str = option("vanilla", "adversarial loss", registry=GAN_MODES)


@MODELS.register(
    "pix2pix",
    options=Pix2PixOptions,
    preset={"norm": "batch", "netG": "unet_256", "dataset_mode": "aligned", "gan_mode": "vanilla", "pool_size": 0},
)
class Pix2Pix(PairedGAN):
    """Paired translation: L1 and other distances to the target, and a discriminator that sees input and output."""

    loss_names = ("G_GAN", "G_L1", "G_MSE", "G_VGG", "D_real", "D_fake")
    conditional = True
