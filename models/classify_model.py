"""Classes of whole images, such as the level that the background of a surface lies at, by cross-entropy.

The result is an image of the class's value, so that what comes after treats it as any other: it is written, measured,
snapped to. Averages are taken of the probabilities and decided afterwards, a soft vote; ``--ensemble vote`` counts what
the members decided, a hard one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data.classes import LabelledOptions, label_values
from data.labels import label_range
from models import MODELS
from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.builder import Builder
from models.networks.whole_image import WholeImageNet
from util.option import option

VOTES = "votes"


@dataclass(frozen=True)
class ClassifyOptions(LabelledOptions):
    class_encoder: str = option("resnet18", "timm network that tells the classes apart", "identity")


@MODELS.register(
    "classify", options=ClassifyOptions, preset={"dataset_mode": "labelled", "output_nc": 1, "best_metric": "accuracy"}
)
class Classifier(TranslationModel):
    """Tell which of --classes a whole image is of."""

    loss_names = ("class",)
    paired = True
    visuals = {"real_A": "A", "fake_B": "B", VOTES: "", "real_B": "B"}
    positions: Tensor

    def __init__(self, options: ClassifyOptions, build: Builder) -> None:
        super().__init__()
        values, self.options = label_values(options.classes), options
        self.C = build.as_published(WholeImageNet(options.class_encoder, build.channels.A, len(values)))
        positions = torch.from_numpy(label_range(values).normalize(torch.tensor(values).numpy()))
        self.register_buffer("positions", positions, persistent=False)

    def prepare_training(self, build: Builder) -> None:
        """There is nothing that only training needs."""

    def forward(self, batch: Batch) -> Images:
        """Return the value of the likeliest class, (N,1,H,W), and the classes' probabilities, (N,count,H,W)."""
        votes = {VOTES: self.C(batch["A"]).float().softmax(1)}
        return self.decide(votes) | votes

    def decide(self, images: Images) -> Images:
        """Return the images with that of the class that has most of the votes, and without these."""
        if VOTES not in images:  # joined with runs of another method
            return images
        winner = self.positions[images[VOTES].argmax(1, keepdim=True).to(self.positions.device)]
        decided = images | {"fake_B": winner.to(images[VOTES])}
        return {label: image for label, image in decided.items() if label != VOTES}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("G", ("C",), self.loss_C, through_images=True),)

    def loss_C(self, batch: Batch, images: Images) -> Losses:
        labels = (batch["B"].mean((1, 2, 3))[:, None] - self.positions).abs().argmin(1)
        votes = images[VOTES].mean((2, 3))
        return {"class": F.nll_loss(votes.clamp_min(torch.finfo(votes.dtype).tiny).log(), labels)}
