"""One generator over a folder of images, from any kind of run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from models import MODELS
from models.base import Batch, Images, TranslationModel
from models.builder import Builder, Channels
from models.networks import GENERATORS
from models.networks.lab import LabColorizer
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class OneSidedOptions:
    netG: str = option("resnet_9blocks", "generator architecture", "identity", registry=GENERATORS)
    model_suffix: str = option(
        "", "which generator of the run: '' loads <epoch>_net_G.pth, '_A' loads <epoch>_net_G_A.pth", "session"
    )
    colorspace: str = option(
        "files", "what the generator makes: whole images, or a, b of Lab", "identity", choices=("files", "lab")
    )


@MODELS.register("test", options=OneSidedOptions, preset={"dataset_mode": "single"})
class OneSided(TranslationModel):
    """Inference only: translate single images by one generator of a trained run."""

    needs = ("A",)
    visuals = {"real": "A", "fake": "B"}
    result = "fake"

    def __init__(self, options: OneSidedOptions, build: Builder) -> None:
        super().__init__()
        self._file = f"G{options.model_suffix}"
        colours = options.colorspace == "lab"
        channels = build.channels if not colours else Channels(1, 2)
        network = build.generator(channels.A, channels.B)
        self.generator = LabColorizer(network) if colours else network

    def networks(self) -> dict[str, nn.Module]:
        return {self._file: self.generator}

    def prepare_training(self, build: Builder) -> None:
        raise UserError("--model test only translates; train with --model pix2pix or --model cycle_gan")

    def forward(self, batch: Batch) -> Images:
        return {"fake": self.generator(batch["A"])}

    @torch.no_grad()
    def predict(self, batch: Batch) -> Images:
        return {"real": batch["A"]} | self.forward(batch)
