"""Start your own method here: copy this file, rename it, change the parts marked by the docstrings.

The file is found by itself: once it stands in models/ (or is named by ``--plugin my_model.py``),
``python train.py --model my_model --help`` lists its flags. docs/extending.md walks through it.
"""

from __future__ import annotations

from dataclasses import dataclass

from models import MODELS
from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.builder import Builder
from models.losses.pixel import l1
from models.networks import GENERATORS
from util.option import option


@dataclass(frozen=True)
class TemplateOptions:
    """Every field is a flag: name, type, default and help come from here."""

    netG: str = option("unet_256", "generator architecture", "identity", registry=GENERATORS)
    lambda_regression: float = option(1.0, "weight of the L1 regression loss", minimum=0)


@MODELS.register("template", options=TemplateOptions, preset={"dataset_mode": "aligned", "norm": "batch"})
class Template(TranslationModel):
    """A regression from A to B: the smallest complete method."""

    paired = True
    visuals = {"real_A": "A", "fake_B": "B", "real_B": "B"}

    def __init__(self, options: TemplateOptions, build: Builder) -> None:
        """Build what translating needs: the networks that test.py will load."""
        super().__init__()
        self.G = build.generator(build.channels.A, build.channels.B)
        self.options = options

    def prepare_training(self, build: Builder) -> None:
        """Build what only training needs: discriminators and losses. This method has none."""

    def forward(self, batch: Batch) -> Images:
        """Generate; ``batch["A"]`` is (N,C,H,W) in [-1,1]."""
        return {"fake_B": self.G(batch["A"])}

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        """Return named terms; the engine adds them up, runs backward and updates the weights."""
        return {"G_L1": self.options.lambda_regression * l1(images["fake_B"], batch["B"], batch.get("B_mask"))}

    def phases(self) -> tuple[Phase, ...]:
        """Name the players in the order of their turns."""
        return (Phase("G", ("G",), self.loss_G, through_images=True),)
