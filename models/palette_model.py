"""Palette: image translation by conditional diffusion (Saharia et al. 2022, arXiv:2111.05826).

The generator learns to tell the noise in a noisy target, given the input. What makes images of it, step by step, is the
generator's own ``forward``, so that a trained run is used like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models import MODELS
from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.builder import Builder, Channels
from models.losses.pixel import l1, mse
from models.networks import GENERATORS
from models.networks.diffusion import DiffusionGenerator
from models.networks.holes import fill_holes, split_holes
from models.networks.lab import LabColorizer, rgb_to_lab
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class PaletteOptions:
    netG: str = option("diffusion", "generator architecture", "identity", registry=GENERATORS)
    colorspace: str = option(
        "files", "what the generator makes: whole images, or a, b of Lab", "identity", choices=("files", "lab")
    )
    lambda_MSE: float = option(1.0, "weight of the squared error of what the network tells, for variety", minimum=0)
    lambda_L1: float = option(0.0, "weight of its absolute error, for less variety and fewer inventions", minimum=0)
    preview_steps: int = option(10, "--sampling_steps of previews and validation while training", minimum=1)

    fills_holes = True


@MODELS.register(
    "palette",
    options=PaletteOptions,
    preset={
        "dataset_mode": "aligned",
        "netG": "diffusion",
        "pool_size": 0,
        "lr": 1e-4,
        "beta1": 0.9,
        "ema_decay": 0.9999,
    },
)
class Palette(TranslationModel):
    """Conditional diffusion, for pairs, holes (--dataset_mode inpaint) and colours (--dataset_mode colorization)."""

    paired = True
    visuals = {"real_A": "A", "fake_B": "B", "real_B": "B"}

    def __init__(self, options: PaletteOptions, build: Builder) -> None:
        super().__init__()
        build.only_images()
        self.options, self._colours = options, options.colorspace == "lab"
        channels = Channels(1, 2) if self._colours else build.channels
        network = build.generator(channels.A, channels.B)
        if not isinstance(network, DiffusionGenerator):
            raise UserError("--model palette trains --netG diffusion: leave out other --netG, --residual, --work_scale")
        self.G: Any = LabColorizer(network) if self._colours else network

    @property
    def diffusion(self) -> DiffusionGenerator:
        """The network that takes noise away."""
        return self.G.network if self._colours else self.G

    def prepare_training(self, build: Builder) -> None:
        if not (self.options.lambda_MSE or self.options.lambda_L1):
            raise UserError("--lambda_MSE and --lambda_L1 are both 0: nothing to train")
        self.diffusion.sampling_steps = min(self.options.preview_steps, self.diffusion.options.diffusion_steps)

    def forward(self, batch: Batch) -> Images:
        """Return "fake_B"; in training from one noisy target, with what was told and wanted of it."""
        if not self.training:
            return {"fake_B": self.G(batch["A"])}
        attempt = self.diffusion.attempt(*self._pair(batch))
        return {"fake_B": attempt.estimate, "guess_B": attempt.guess, "wanted_B": attempt.wanted}

    @torch.no_grad()
    def predict(self, batch: Batch) -> Images:
        shown = {"real_A": self._shown(batch["A"]), "fake_B": self.G(batch["A"])}
        return shown | ({"real_B": batch["B"]} if "B" in batch else {})

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("G", ("G",), self.loss_G, through_images=True),)

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        options, mask = self.options, self._counted(batch)
        weighted = {"G_MSE": (options.lambda_MSE, mse), "G_L1": (options.lambda_L1, l1)}
        return {
            name: weight * distance(images["guess_B"], images["wanted_B"], mask)
            for name, (weight, distance) in weighted.items()
            if weight
        }

    @property
    def _fills(self) -> bool:
        return self.diffusion.options.diffusion_of == "hole"

    def _pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return what the network is given, and the target that it learns, 0 where that is unknown."""
        target = batch["B"]
        if "B_mask" in batch:
            target = torch.where(batch["B_mask"] > 0, target, torch.zeros_like(target))
        if not self._colours:
            return batch["A"], target
        return rgb_to_lab(batch["A"])[0], target if target.shape[1] == 2 else rgb_to_lab(target)[1]

    def _counted(self, batch: Batch) -> Tensor | None:
        """Return the pixels that count, (N,1,H,W): of a filled image those of the hole."""
        known = batch.get("B_mask")
        if not self._fills:
            return known
        hole = split_holes(batch["A"])[1]
        return hole if known is None else hole * known

    def _shown(self, given: Tensor) -> Tensor:
        if self._colours:
            return rgb_to_lab(given)[0]
        return fill_holes(*split_holes(given), -1.0) if self._fills else given
