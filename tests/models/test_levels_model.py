"""Depth with a flat background: what counts as background, and what snaps to its level."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from commands.build import build_model
from models.levels_model import find_background
from options.train_options import TrainOptions
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute
from util.errors import UserError


def surface(level: float = -0.5) -> torch.Tensor:
    """Return (1,1,32,32): a background with a little noise, a deep hole in its middle."""
    noise = 0.004 * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0)).clamp(-2, 2)
    depth = level + noise
    depth[..., 8:24, 8:24] = 0.6
    return depth


def make(tiny: list[str], *words: str) -> Any:
    flags = ["--dataroot", ".", "--model", "levels", *tiny, "--init_gain", "0.1", "--level_encoder", "test_convnext"]
    options = TrainOptions().parse([*flags, "--input_nc", "1", "--output_nc", "1", *words])
    return build_model(options, train=True).train()


def test_the_background_is_what_lies_near_the_quantile() -> None:
    level, background = find_background(surface(), 0.1, 0.01)
    assert level.shape == (1, 1, 1, 1) and level.item() == pytest.approx(-0.5, abs=2e-3)
    hole = torch.zeros(32, 32, dtype=torch.bool)
    hole[8:24, 8:24] = True
    assert torch.equal(background[0, 0] == 0, hole)
    level, background = find_background(surface(), 0.9, 0.01)
    assert level.item() == pytest.approx(0.6) and torch.equal(background[0, 0] == 1, hole)


def test_pixels_without_depth_are_no_background() -> None:
    depth, mask = surface(), torch.ones(1, 1, 32, 32)
    depth[..., :8, :], mask[..., :8, :] = -1, 0
    level, background = find_background(depth, 0.1, 0.01, mask)
    assert level.item() == pytest.approx(-0.5, abs=2e-3) and background[..., :8, :].max() == 0
    level, background = find_background(depth, 0.1, 0.01, torch.zeros_like(mask))
    assert level.item() == 0 and background.max() == 0


def test_what_is_taken_for_background_gets_the_level_and_nothing_else(tiny: list[str]) -> None:
    model = make(tiny).eval()
    images = model.predict({"A": surface()})
    assert set(images) == set(model.visuals) - {"real_B"}
    inside = images["background"] > 0
    assert torch.equal(images["fake_B"][inside], images["level"][inside])
    assert torch.equal(images["fake_B"][~inside], images["raw_B"][~inside])
    assert images["level"].unique().numel() == 1


def test_level_and_place_of_the_background_are_learned(tiny: list[str]) -> None:
    model = make(tiny, "--ngf", "2")
    levels = torch.tensor([-0.7, 0.1]).reshape(2, 1, 1, 1)
    depth = torch.cat([surface(level.item()) for level in levels])
    data = {"A": depth.flip(3) * 0.5, "B": depth, "A_paths": ["a", "b"], "B_paths": ["a", "b"]}
    step = Updater(model, OptimizerOptions(lr=0.003), StepOptions(), 0, Compute(torch.device("cpu")))
    losses = [step.step(data, number) for number in range(40)]
    assert set(losses[0]) == {"G_L1", "level", "background"}
    assert losses[-1]["level"] < 0.3 * losses[0]["level"] and losses[-1]["background"] < 0.5 * losses[0]["background"]


def test_masked_pixels_teach_nothing(tiny: list[str]) -> None:
    model, depth = make(tiny), surface()
    mask = torch.ones_like(depth)
    mask[..., :4] = 0
    images = model({"A": depth})
    spoiled = torch.where(mask > 0, depth, torch.full_like(depth, -1.0))
    ours, theirs = (model.loss_G({"A": depth, "B": target, "B_mask": mask}, images) for target in (depth, spoiled))
    assert all(ours[name].item() == pytest.approx(theirs[name].item()) for name in ours)


def test_a_sample_without_depths_teaches_nothing(tiny: list[str]) -> None:
    model, depth = make(tiny), surface()
    losses = model.loss_G({"A": depth, "B": depth, "B_mask": torch.zeros_like(depth)}, model({"A": depth}))
    assert {name: value.item() for name, value in losses.items()} == {"G_L1": 0, "level": 0, "background": 0}


def test_a_regression_needs_a_distance(tiny: list[str]) -> None:
    with pytest.raises(UserError, match="no distance to the target"):
        make(tiny, "--lambda_L1", "0")
