"""Super-resolution and restoration: a distance to the target and, for the GANs, a discriminator of the output alone.

Trained by distance alone it is what the papers call PSNR-oriented. With a discriminator and VGG features it is SRGAN
(Ledig et al. 2017, arXiv:1609.04802), ESRGAN (Wang et al. 2018, arXiv:1809.00219) or, with damaged inputs,
Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833). Images are in [-1,1], so that L1 counts twice and the squared error
four times what they do in [0,1]; the weights below bring the papers' balance into this range.
"""

from __future__ import annotations

from dataclasses import dataclass

from models import MODELS
from models.losses import GAN_MODES
from models.networks import DISCRIMINATORS, GENERATORS
from models.options import PairedOptions
from models.paired import PairedGAN
from util.option import option


@dataclass(frozen=True)
class SROptions(PairedOptions):
    netG: str = option("edsr", "generator architecture", "identity", registry=GENERATORS)
    netD: str = option("srgan", "discriminator architecture", "identity", registry=DISCRIMINATORS)
    gan_mode: str = option("vanilla", "adversarial loss", registry=GAN_MODES)
    lambda_L1: float = option(1.0, "weight of the L1 distance between output and target", minimum=0)
    lambda_GAN: float = option(0.0, "weight of the adversarial term; 0 trains without a discriminator", minimum=0)


_COMMON = {
    "dataset_mode": "super_resolution",
    "scale": 4,
    "norm": "batch",
    "init_type": "published",
    "batch_size": 16,
    "lr": 1e-4,
    "beta1": 0.9,
}


@MODELS.register("sr", options=SROptions, preset={**_COMMON, "netG": "edsr"})
@MODELS.register(
    "srgan",
    options=SROptions,
    preset={
        **_COMMON,
        "netG": "srresnet",
        "netD": "srgan",
        "gan_mode": "vanilla",
        "crop_size": 96,
        "lambda_GAN": 1e-3,
        "lambda_L1": 0.0,
        "lambda_VGG": 0.006,  # features divided by 12.75, squared
        "vgg_layers": ("relu5_4",),
        "vgg_distance": "mse",
    },
)
@MODELS.register(
    "esrgan",
    options=SROptions,
    preset={
        **_COMMON,
        "netG": "rrdb",
        "netD": "vgg128",
        "gan_mode": "relativistic_average",
        "crop_size": 128,
        "lambda_GAN": 5e-3,
        "lambda_L1": 5e-3,
        "lambda_VGG": 1.0,
        "vgg_layers": ("conv5_4",),
    },
)
@MODELS.register(
    "real_esrgan",
    options=SROptions,
    preset={
        **_COMMON,
        "degradation": "real_esrgan",
        "netG": "rrdb",
        "netD": "unet_sn",
        "gan_mode": "vanilla",
        "crop_size": 256,
        "lambda_GAN": 0.1,
        "lambda_L1": 0.5,
        "lambda_VGG": 1.0,
        "vgg_layers": ("conv1_2:0.1", "conv2_2:0.1", "conv3_4", "conv4_4", "conv5_4"),
    },
)
class SuperResolution(PairedGAN):
    """Super-resolution or restoration: distances to the target, and for GANs a discriminator of the output alone."""

    loss_names = ("G_GAN", "G_L1", "G_MSE", "G_Charbonnier", "G_VGG", "D_real", "D_fake")
