"""CUT: unpaired translation by contrast of patches, one way only (Park et al. 2020, arXiv:2007.15651).

The original's ResNet also blurs where it halves and doubles sizes; here it is CycleGAN's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models import MODELS
from models.base import Batch, Images, Losses, Phase, split_calls
from models.builder import Builder
from models.losses import GAN_MODES
from models.losses.contrast import patch_nce
from models.losses.pixel import blanked
from models.networks import GENERATORS
from models.networks.patch_sampler import PatchSampler
from models.one_discriminator import OneDiscriminator, Seen
from models.options import DiscriminatorOptions
from util.errors import UserError
from util.noise import rand
from util.option import option


@dataclass(frozen=True)
class CUTOptions(DiscriminatorOptions):
    netG: str = option("resnet_9blocks", "generator architecture, one of the ResNets", "identity", registry=GENERATORS)
    gan_mode: str = option("lsgan", "adversarial loss", registry=GAN_MODES)
    lambda_GAN: float = option(1.0, "weight of the adversarial term", minimum=0)
    lambda_NCE: float = option(1.0, "weight of the contrast of patches", minimum=0)
    nce_idt: bool = option(True, "contrast the patches of B and of its own translation too")
    nce_layers: tuple[int, ...] = option(
        (0, 4, 8, 12, 16), "layers of the generator whose features are compared", "identity", minimum=0
    )
    nce_T: float = option(0.07, "temperature of the contrast", minimum=1e-3)
    num_patches: int = option(256, "patches of each layer that are compared", minimum=2)
    netF_nc: int = option(256, "length of the vectors that patches become", "identity", minimum=1)
    flip_equivariance: bool = option(False, "translate half of the images mirrored, and compare them mirrored back")


_COMMON = {
    "dataset_mode": "unaligned",
    "netG": "resnet_9blocks",
    "norm": "instance",
    "init_type": "xavier",
    "no_dropout": True,
    "pool_size": 0,
}


@MODELS.register("cut", options=CUTOptions, preset={**_COMMON, "n_epochs": 200, "n_epochs_decay": 200})
@MODELS.register(
    "fastcut",
    options=CUTOptions,
    preset={
        **_COMMON,
        "n_epochs": 150,
        "n_epochs_decay": 50,
        "lambda_NCE": 10.0,
        "nce_idt": False,
        "flip_equivariance": True,
    },
)
class CUT(OneDiscriminator):
    """Unpaired translation one way: each patch must resemble its origin; fastcut takes half the time and memory."""

    loss_names = ("G_GAN", "D_real", "D_fake", "NCE", "NCE_Y")
    visuals = {"real_A": "A", "fake_B": "B", "real_B": "B", "idt_B": "B"}
    frames = {"real_B": "B", "idt_B": "B"}
    F: Any

    def __init__(self, options: CUTOptions, build: Builder) -> None:
        super().__init__()
        self.G = build.generator(build.channels.A, build.channels.B)
        self.options = options
        self.identity = False

    def prepare_training(self, build: Builder) -> None:
        build.only_images()
        options, channels = self.options, build.channels
        if channels.A != channels.B:
            raise UserError(
                f"--input_nc {channels.A} and --output_nc {channels.B}: outputs pass the generator's first layers "
                "as inputs do, so both need as many channels; use --model cycle_gan for others"
            )
        _check_weights(options)
        self.add_discriminator(build, channels.B)
        self.F = build.like_generator(PatchSampler(self._widths(channels.A), options.netF_nc, options.num_patches))
        self.identity = options.nce_idt

    def _widths(self, channels: int) -> list[int]:
        """Return the channels of the features that are compared; UserError for a generator without such layers."""
        if not hasattr(self.G, "features"):
            raise UserError(
                "--netG: a ResNet's layers are compared; use resnet_9blocks or resnet_6blocks, and without --work_scale"
            )
        training = self.G.training
        with torch.no_grad():
            features = self._features(self.G.eval(), torch.zeros(1, channels, 64, 64))
        self.G.train(training)
        return [feature.shape[1] for feature in features]

    def _features(self, network: Any, images: Tensor) -> list[Tensor]:
        return network.features(images, self.options.nce_layers)

    def forward(self, batch: Batch) -> Images:
        """Return the translation of A, in training mirrored where :meth:`_mirrors` says so, and that of B."""
        return self._translated(batch, self._mirrors(batch["A"]))

    @torch.no_grad()
    def predict(self, batch: Batch) -> Images:
        return self.shown(batch, self._translated(batch, None))

    def _translated(self, batch: Batch, mirrors: Tensor | None) -> Images:
        real_A = _mirrored(batch["A"], mirrors)
        if not self.identity:
            return {"fake_B": self.G(real_A)}
        fake_B, idt_B = split_calls(self.G, real_A, _mirrored(batch["B"], mirrors))
        return {"fake_B": fake_B, "idt_B": idt_B}

    def _mirrors(self, images: Tensor) -> Tensor | None:
        """Return (N,1,1,1), which samples are mirrored in this step: asked twice in it, the same."""
        return rand(images, (1, 1, 1), "mirror") < 0.5 if self.options.flip_equivariance else None

    def phases(self) -> tuple[Phase, ...]:
        return self.turns("G", "F")

    def seen(self, batch: Batch, images: Images) -> Seen:
        """Return what D sees: the translation is blank where the real image beside it is unknown."""
        return Seen(batch["B"], blanked(images["fake_B"], batch.get("B_mask")))

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        losses = self.told_by_D(batch, images)
        mirrors, share = self._mirrors(batch["A"]), 0.5 if self.identity else 1.0
        pairs = {"NCE": (batch["A"], images["fake_B"])}
        if self.identity:
            pairs["NCE_Y"] = (batch["B"], images["idt_B"])
        weight = share * self.options.lambda_NCE
        return losses | {name: weight * self._contrast(*pair, mirrors, name) for name, pair in pairs.items()}

    def _contrast(self, source: Tensor, output: Tensor, mirrors: Tensor | None, stream: str) -> Tensor:
        """Return the contrast of an output's patches with those of its source, averaged over layers."""
        with torch.no_grad():
            origins = self._features(self.G, source)
        made = [_mirrored(feature, mirrors) for feature in self._features(self.G, output)]
        places = self.F.places(origins, stream)
        with torch.no_grad():
            keys = self.F.project(origins, places)
        queries = self.F.project(made, places)
        terms = [patch_nce(query, key, self.options.nce_T) for query, key in zip(queries, keys, strict=True)]
        return torch.stack(terms).mean()


def _check_weights(options: CUTOptions) -> None:
    if not options.lambda_GAN:
        raise UserError("--lambda_GAN 0: nothing makes outputs look like B then; give a weight, or leave the flag out")
    if not options.lambda_NCE:
        raise UserError(
            "--lambda_NCE 0: nothing ties an output to its input then; give a weight, or use --model cycle_gan"
        )


def _mirrored(x: Tensor, where: Tensor | None) -> Tensor:
    """Return (N,C,H,W) with some samples mirrored left to right."""
    return x if where is None else torch.where(where, x.flip(-1), x)
