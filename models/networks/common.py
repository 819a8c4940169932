"""What every network's options share; torch-free, so that ``--help`` can read it."""

from __future__ import annotations

from dataclasses import dataclass

from util.option import option

NORMS = ("instance", "batch", "sync_batch", "syncbatch", "none", "instance_affine", "batch_untracked")
UPSAMPLINGS = ("transpose", "resize", "pixelshuffle")
INIT_TYPES = ("normal", "xavier", "kaiming", "orthogonal", "published")


@dataclass(frozen=True)
class NetworkOptions:
    """Flags of generators and discriminators alike; one value serves both.

    ``instance_affine`` and ``batch_untracked`` exist for weights made elsewhere: instance norm with a learned
    weight and bias, and batch norm without running statistics.
    """

    norm: str = option("instance", "normalisation of the feature maps", scope="identity", choices=NORMS)
    init_type: str = option("normal", "distribution of the initial weights", choices=INIT_TYPES)
    init_gain: float = option(0.02, "scale of the initial weights (normal, xavier, orthogonal)", minimum=0.0)


@dataclass(frozen=True)
class TranslatorOptions(NetworkOptions):
    """Flags of the generators of pix2pix and CycleGAN."""

    ngf: int = option(64, "filters of the generator's outermost layers", scope="identity", minimum=1)
    no_dropout: bool = option(False, "build the generator without dropout", scope="identity")
    upsample: str = option(
        "transpose",
        "how the generator doubles sizes: transpose, as published; resize or pixelshuffle, which leave no checkerboard",
        scope="identity",
        choices=UPSAMPLINGS,
    )


@dataclass(frozen=True)
class PlainOptions:
    """Flags of the networks without a choice of norm, which begin as their papers say."""

    init_type: str = option("published", "distribution of the initial weights", choices=INIT_TYPES)
    init_gain: float = option(0.02, "scale of the initial weights (normal, xavier, orthogonal)", minimum=0.0)


@dataclass(frozen=True)
class EnlargerOptions(PlainOptions):
    """Flags of the networks for super-resolution and restoration."""

    scale: int = option(1, "enlargement; 1 restores images of equal size", scope="identity", minimum=1, maximum=8)


@dataclass(frozen=True)
class AroundOptions:
    """What is put around the generator, whichever it is."""

    residual: bool = option(
        False, "the generator's output is added to its input; before training it adds nothing", "identity"
    )
    work_scale: int = option(
        1,
        "the generator sees images so many times smaller, and what it changes is enlarged and added to its input, "
        "which keeps its detail; --crop_size is still of the full size",
        "identity",
        minimum=1,
    )
