"""Flags that several methods share; torch-free, so that ``--help`` can read them."""

from __future__ import annotations

from dataclasses import dataclass

from models.losses.mix import MixOptions
from models.networks import DISCRIMINATORS
from util.option import option


@dataclass(frozen=True)
class DiscriminatorOptions:
    """What is done about a discriminator beside its adversarial loss."""

    netD: str = option("basic", "discriminator architecture", "identity", registry=DISCRIMINATORS)
    lambda_R1: float = option(
        0.0, "weight of R1, half the squared slope of D at real images, which calms D; often 1 to 10", minimum=0
    )
    R1_every: int = option(16, "R1 is computed in every so many steps only, and counts so many times then", minimum=1)
    lambda_FM: float = option(0.0, "weight of feature matching: G's images shall look to D as real ones do", minimum=0)
    augment: tuple[str, ...] = option(
        (), "let D see all images altered at random, for small data sets: any of color, translation, cutout, by commas"
    )
    augment_p: float = option(
        1.0,
        "probability of each --augment; auto: it rises from 0 while D overfits and falls when it does not",
        minimum=0,
        maximum=1,
        auto=True,
    )
    augment_target: float = option(
        0.6, "with --augment_p auto: how sure of real images D may be, from 0 to 1", minimum=0, maximum=1
    )
    augment_images: int = option(
        100_000, "with --augment_p auto: after how many images it can have risen from 0 to 1", minimum=1
    )


@dataclass(frozen=True)
class PairedOptions(MixOptions, DiscriminatorOptions):
    """What the paired GANs have in common."""

    lambda_GAN: float = option(1.0, "weight of the adversarial term; 0 trains without a discriminator", minimum=0)
