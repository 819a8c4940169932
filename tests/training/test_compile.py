"""``--compile default`` in training: the same losses and weights as without, really translated."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Batch, Images, Losses, Phase, TranslationModel
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="torch.compile needs a C++ compiler"
)


class Tiny(TranslationModel):
    """A generator and a discriminator of two convolutions each, with batch norm."""

    visuals: Mapping[str, str] = {}

    def __init__(self) -> None:
        super().__init__()
        first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.G = nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1))
        self.D = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3))

    def forward(self, batch: Batch) -> Images:
        return {"fake_B": torch.tanh(self.G(batch["A"]))}

    def loss_D(self, batch: Batch, images: Images) -> Losses:
        return {"D_real": (self.D(batch["B"]) - 1).square().mean(), "D_fake": self.D(images["fake_B"]).square().mean()}

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        fake: Tensor = images["fake_B"]
        return {"G_GAN": (self.D(fake) - 1).square().mean(), "G_L1": 10 * F.l1_loss(fake, batch["B"])}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("D", ("D",), self.loss_D, scale=0.5), Phase("G", ("G",), self.loss_G, through_images=True))


def test_compiled_training_is_the_eager_one() -> None:
    torch.manual_seed(0)
    eager = Tiny()
    compiled = copy.deepcopy(eager)
    batch = {side: torch.rand(2, 3, 16, 16) * 2 - 1 for side in "AB"}
    steps = [
        Updater(model, OptimizerOptions(), StepOptions(), 0, Compute(torch.device("cpu"), compile=how))
        for model, how in ((eager, "off"), (compiled, "default"))
    ]
    for number in range(3):
        ours, theirs = (step.step(batch, number) for step in steps)
        assert ours.keys() == theirs.keys()
        assert all(ours[name].item() == pytest.approx(theirs[name].item(), rel=1e-4) for name in ours)
    assert eager.state_dict().keys() == compiled.state_dict().keys(), "compiling renames nothing"
    for (name, one), other in zip(eager.state_dict().items(), compiled.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=1e-4), name
