"""Colorization from photos to colour results, through training, test.py and use from Python."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import a2b
from commands.build import build_model
from commands.testing import TestingSession
from models.networks.lab import rgb_to_lab
from options.test_options import TestOptions
from options.train_options import TrainOptions


@pytest.fixture
def photos(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a folder with train/ and test/ of photos whose colours follow from their brightness."""
    for phase, count in (("train", 4), ("test", 2)):
        (tmp_path / "photos" / phase).mkdir(parents=True)
        for number in range(count):
            ramp = np.linspace(30 + 10 * number, 200, 32)[None, :].repeat(32, 0)
            image = np.stack([ramp, 0.8 * ramp, 255 - ramp], 2).astype(np.uint8)
            Image.fromarray(image).save(tmp_path / "photos" / phase / f"{number}.png")
    return tmp_path / "photos"


def words(photos: pathlib.Path, tiny: list[str], *more: str) -> list[str]:
    where = ["--model", "colorization", "--dataroot", str(photos), "--checkpoints_dir", str(photos.parent / "runs")]
    return [*where, "--name", "color", *tiny, "--n_epochs", "1", "--n_epochs_decay", "0", *more]


def test_losses_compare_colours_and_the_discriminator_sees_lightness_beside_them(tiny: list[str]) -> None:
    options = TrainOptions().parse(["--dataroot", ".", "--model", "colorization", *tiny])
    model: Any = build_model(options, train=True).eval()
    random = torch.Generator().manual_seed(0)
    batch = {side: torch.rand(2, 3, 32, 32, generator=random) * 2 - 1 for side in "AB"}
    images = model(batch)
    discriminator, generator = model.phases()
    losses = generator.loss(batch, images)
    wanted = rgb_to_lab(batch["B"])[1]
    torch.testing.assert_close(losses["G_L1"], 100 * (images["fake_B"] - wanted).abs().mean())
    assert model.D.model[0].in_channels == 3
    (output,) = model.D(torch.cat([rgb_to_lab(batch["A"])[0], wanted], 1))
    assert discriminator.loss(batch, images)["D_real"].item() == pytest.approx(
        torch.nn.functional.softplus(-output.logits).mean().item(), rel=1e-5
    )
    grey = batch | {"A": batch["A"][:, :1]}
    assert model.predict(grey)["fake_B_rgb"].shape == (2, 3, 32, 32), "grey photos do as well"


@pytest.mark.parametrize("established", [[], ["--input_nc", "1", "--output_nc", "2"]], ids=["plain", "established"])
def test_results_are_in_colour_and_measured(
    train: Callable[..., int], photos: pathlib.Path, tiny: list[str], tmp_path: pathlib.Path, established: list[str]
) -> None:
    assert train(*words(photos, tiny, *established)) == 0
    runs = ["--checkpoints_dir", str(tmp_path / "runs"), "--name", "color", "--gpu_ids", "-1", "--precision", "fp32"]
    results = ["--dataroot", str(photos), "--results_dir", str(tmp_path / "results"), *runs]
    assert TestingSession(TestOptions().parse(results)).run() == 0
    folder = tmp_path / "results/color/test_latest"
    files = {path.name for path in (folder / "images").iterdir()}
    assert {"0_real_A.png", "0_real_B_rgb.png", "0_fake_B_rgb.png"} <= files and "0_real_B.png" not in files
    real, source = (np.asarray(Image.open(folder / f"images/0_{label}.png")) for label in ("real_B_rgb", "real_A"))
    assert np.array_equal(real, np.asarray(Image.open(photos / "test/0.png"))) and source.ndim == 2
    assert "psnr" in json.dumps(json.loads((folder / "metrics.json").read_text()))
    fake = np.asarray(Image.open(folder / "images/0_fake_B_rgb.png"))
    if established:
        return
    translate = a2b.load(tmp_path / "runs/color", gpu_ids="-1")
    ours = np.asarray(translate(Image.open(photos / "test/0.png")))
    assert ours.shape == fake.shape and np.abs(ours.astype(int) - fake).max() <= 1
    assert np.asarray(translate(Image.open(photos / "test/0.png").convert("L").convert("RGB"))).shape == fake.shape


def test_colours_that_follow_from_brightness_are_learned(
    train: Callable[..., int], photos: pathlib.Path, tiny: list[str], tmp_path: pathlib.Path
) -> None:
    more = ["--lambda_GAN", "0", "--lr", "0.005", "--no_flip", "--norm", "instance", "--init_gain", "0.1"]
    assert train(*words(photos, tiny, *more, "--n_epochs", "15", "--init_type", "normal")) == 0
    translate = a2b.load(tmp_path / "runs/color", gpu_ids="-1")
    photo = Image.open(photos / "test/1.png")
    truth = np.asarray(photo).astype(float)
    grey = photo.convert("L").convert("RGB")
    before, after = (np.abs(np.asarray(x).astype(float) - truth).mean() for x in (grey, translate(grey)))
    assert after < 0.6 * before
