"""The ported method of docs/migration.md is GcGAN, trains, resumes and translates, and its table names what exists."""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from models import MODELS
from models.base import Phase, TranslationModel
from models.builder import Builder
from options.base_options import REGISTRIES
from options.train_options import TrainOptions
from tests.docs.pages import ROOT, code_blocks

PAGE, EXAMPLE = ROOT / "docs" / "migration.md", ROOT / "docs" / "examples" / "gcgan.py"
DATA = ["--preprocess", "none", "--no_flip", "--batch_size", "2"]


@pytest.fixture
def gcgan() -> Iterator[Any]:
    """Register the example, and forget it afterwards."""
    before = [list(registry._plugins) for registry in REGISTRIES]
    TrainOptions().parse(["--plugin", str(EXAMPLE), "--model", "gcgan", "--dataroot", "."])
    yield MODELS.get("gcgan")
    for registry, known in zip(REGISTRIES, before, strict=True):
        registry._plugins[:] = known
        registry.__dict__.pop("_cached_index", None)
    for name in [n for n in sys.modules if n.startswith("plugin_") and n.endswith("_gcgan")]:
        del sys.modules[name]


def test_it_trains_resumes_and_translates(
    gcgan: Any, unaligned: pathlib.Path, tiny: list[str], train: Callable[..., int], tmp_path: pathlib.Path
) -> None:
    place = ["--plugin", EXAMPLE, "--dataroot", unaligned, "--name", "run", "--checkpoints_dir", tmp_path]
    assert train(*place, "--model", "gcgan", *tiny, *DATA, "--max_steps", 2) == 0
    assert train(*place, "--continue_train", "--max_steps", 4, "--display_id", 0) == 0
    lines = (tmp_path / "run" / "losses.jsonl").read_text().splitlines()
    assert all(f'"{name}"' in lines[-1] for name in ("G_GAN", "G_GAN_gc", "gc", "idt", "D", "D_gc"))
    names = {path.name for path in (tmp_path / "run").glob("latest_net_*.pth")}
    assert names == {f"latest_net_{name}.pth" for name in ("G", "D", "D_gc")}

    from commands.testing import TestingSession
    from options.test_options import TestOptions

    words = [*place, "--results_dir", tmp_path / "results", "--gpu_ids", "-1"]
    assert TestingSession(TestOptions().parse([str(word) for word in words])).run() == 0
    images = {path.name for path in (tmp_path / "results/run/test_latest/images").iterdir()}
    assert images == {f"0{n}_{label}.png" for n in (0, 1) for label in ("real_A", "fake_B", "real_B")}


@pytest.mark.parametrize("geometry", ["rot", "vf"])
def test_the_consistency_is_nothing_for_what_commutes_with_turning_and_counts_both_ways(
    gcgan: Any, geometry: str
) -> None:
    options = MODELS.options("gcgan")(geometry=geometry)
    model: Any = gcgan(options, _Builder())
    model.prepare_training(_Builder())
    batch = {"A": torch.rand(2, 3, 16, 24), "B": torch.rand(2, 3, 16, 24)}
    model.G = torch.nn.Tanh()  # each pixel for itself
    images = model.forward(batch)
    assert model.loss_G(batch, images)["gc"] == 0
    images["gc_B"] = images["gc_B"] + 0.5
    assert model.loss_G(batch, images)["gc"] == pytest.approx(2 * 2.0 * 0.5, rel=1e-5)
    assert model.turned(batch["A"]).shape == ((2, 3, 24, 16) if geometry == "rot" else (2, 3, 16, 24))
    assert torch.equal(torch.rot90(model.turned(batch["A"]), 1, (2, 3)), batch["A"]) == (geometry == "rot")


class _Builder:
    """Networks of one layer."""

    channels = type("Channels", (), {"A": 3, "B": 3})

    def generator(self, *channels: int) -> torch.nn.Module:
        return torch.nn.Identity()

    def discriminator(self, *channels: int) -> torch.nn.Module:
        return torch.nn.Identity()

    def adversarial_loss(self) -> Any:
        return type("Loss", (), {"generator_loss": staticmethod(lambda outputs: outputs.mean())})()


def test_the_table_names_what_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in ("forward", "phases", "predict", "prepare_training", "visuals", "loss_names"):
        assert f"`{name}" in text and hasattr(TranslationModel, name)
    for name in ("generator", "discriminator", "adversarial_loss"):
        assert f"`build.{name}(" in text and hasattr(Builder, name)
    fields = set(re.findall(r"(\w+)=", code_blocks(PAGE, "python")[0]))
    assert fields <= set(Phase.__dataclass_fields__) and {"scale", "history"} <= fields


def test_the_page_shows_the_phases_of_the_example() -> None:
    shown = code_blocks(PAGE, "python")[0].replace("def phases(self):", "def phases(self) -> tuple[Phase, ...]:")
    indented = "".join(f"    {line}\n" for line in shown.splitlines())
    assert indented in EXAMPLE.read_text(encoding="utf-8")
    assert f"{len(EXAMPLE.read_text(encoding='utf-8').splitlines())} lines" in PAGE.read_text(encoding="utf-8")
