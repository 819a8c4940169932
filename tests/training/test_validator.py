"""Measuring the val split: every variant of the networks, none of them disturbed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from data.value_range import ValueRange
from data.writers import FileFormat
from inference.domains import Domains
from models.base import Batch, Images, Losses, Phase, TranslationModel
from training.previews import Previewer
from training.ranks import Ranks
from training.validator import Validator, other_norm
from util.errors import UserError

SIDES = {"real_A": "A", "fake_B": "B", "real_B": "B"}


class Shift(nn.Module):
    """Add a number, after batch norm with statistics that are its own."""

    def __init__(self, shift: float, norm: bool) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))
        self.norm = nn.BatchNorm2d(1, affine=False, momentum=0.5) if norm else nn.Identity()
        self.dropout = nn.Dropout(0.9)

    def forward(self, image: Tensor) -> Tensor:
        return self.dropout(self.norm(image)) + self.shift


class Model(TranslationModel):
    visuals = SIDES

    def __init__(self, shift: float, norm: bool) -> None:
        super().__init__()
        self.G = Shift(shift, norm)

    def forward(self, batch: Batch) -> Images:
        return {"fake_B": self.G(batch["A"])}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("G", ("G",), self.loss, through_images=True),)

    def loss(self, batch: Batch, images: Images) -> Losses:
        return {}


class Updater:
    """Stands for the update step; the average is another shift."""

    device, ranks = torch.device("cpu"), Ranks()

    def __init__(self, model: Model, average: float | None = None) -> None:
        self.model, self.average, self.has_average = model, average, average is not None

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        present = self.model.G.shift.detach().clone()
        self.model.G.shift.data.fill_(self.average or 0.0)
        yield
        self.model.G.shift.data.copy_(present)


class Ramps:
    """Four images whose target is the image itself; number 2 cannot be read."""

    pairs = ["some"]

    def __init__(self, broken: int | None = None) -> None:
        self.broken, self.asked = broken, list[int]()

    def __len__(self) -> int:
        return 4

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        self.asked.append(index)
        if index == self.broken:
            raise UserError("ramp2.png: damaged")
        image = torch.linspace(-0.5, 0.5, 40 * 40).reshape(1, 40, 40) * (index + 1) / 4
        return {"A": image, "B": image}


def validator(dataset: Ramps, shift: float, average: float | None = None, *, norm: bool = False) -> Validator:
    updater = Updater(Model(shift, norm).train(), average)
    previewer = Previewer(updater, "fp32", "running")  # type: ignore[arg-type]
    domain = ValueRange(0.0, 65535.0)
    domains = Domains({"A": domain, "B": domain}, dict.fromkeys("AB", FileFormat("uint16", 1)), SIDES)
    return Validator(dataset, domains, previewer, seed=0, count=len(dataset))  # type: ignore[arg-type]


def test_metrics_are_in_file_units_and_named_for_the_logs() -> None:
    found = validator(Ramps(), 0.02).run()
    assert set(found.values) == {"val_psnr", "val_ssim", "val_rmse", "val_mae"}
    assert found.values["val_rmse"] == pytest.approx(0.02 / 2 * 65535, rel=1e-3)
    assert found.values["val_psnr"] == pytest.approx(40, rel=1e-2)


def test_averaged_weights_are_measured_and_shown_too() -> None:
    found = validator(Ramps(), 0.2, average=0.02).run()
    assert found.values["val_psnr_ema"] == pytest.approx(40, rel=1e-2)
    assert found.values["val_psnr"] == pytest.approx(20, rel=1e-2)
    assert list(found.pictures) == ["val_real_A", "val_fake_B", "val_real_B", "val_fake_B_ema"]
    assert (found.pictures["val_fake_B"] > found.pictures["val_fake_B_ema"]).all()


def test_both_statistics_of_batch_norm_are_measured() -> None:
    found = validator(Ramps(), 0.0, average=0.5, norm=True).run()
    usual = {f"val_{name}{weights}" for name in ("psnr", "ssim", "rmse", "mae") for weights in ("", "_ema")}
    assert set(found.values) == usual | {"val_psnr_batch", "val_psnr_ema_batch"}
    assert found.values["val_psnr"] > found.values["val_psnr_batch"] + 10, "running statistics keep the values"
    assert [variant.usual for variant in found.scores] == [True, True, False, False]
    assert not any("batch" in label for label in found.pictures)


@pytest.mark.parametrize(
    ("norm", "own", "test_norm", "expected"),
    [
        *((False, "running", "auto", None), (True, "running", "auto", "batch"), (True, "batch", "auto", "running")),
        *((True, "batch", "running", "batch"), (True, "batch", "batch", "running")),
    ],
)
def test_the_other_statistics(norm: bool, own: str, test_norm: str, expected: str | None) -> None:
    network = Shift(0.0, norm)
    network.test_norm = own  # type: ignore[assignment]
    assert other_norm({"G": network}, test_norm) == expected


def test_nothing_in_the_training_changes() -> None:
    measuring = validator(Ramps(), 0.1, average=0.2, norm=True)
    model = measuring.previewer.updater.model
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    measuring.run()
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert model.G.norm.momentum == 0.5
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_damaged_file_is_named_once_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    measuring = validator(Ramps(broken=2), 0.02, average=0.1)
    assert measuring.run().values["val_psnr"] > 30
    measuring.run()
    assert capsys.readouterr().err == "validation leaves out: ramp2.png: damaged\n"


def test_without_pairs_there_are_pictures_only() -> None:
    dataset = Ramps()
    dataset.pairs = []
    found = validator(dataset, 0.02).run()
    assert found.scores == {} and found.values == {}
    assert set(found.pictures) == {"val_real_A", "val_fake_B", "val_real_B"}
