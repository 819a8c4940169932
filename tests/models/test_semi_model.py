"""Learning from images without targets beside pairs: which network hears of which image."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from commands.build import build_model
from models.base import TranslationModel
from options.train_options import TrainOptions
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute
from util.errors import UserError


def make(tiny: list[str], *words: str) -> TranslationModel:
    flags = ["--dataroot", ".", "--model", "semi", *tiny, "--init_gain", "0.1", "--norm", "instance", *words]
    return build_model(TrainOptions().parse(flags), train=True).train()


def batch(size: int = 2) -> dict[str, Any]:
    random = torch.Generator().manual_seed(0)
    images = {name: torch.rand(size, 3, 32, 32, generator=random) * 2 - 1 for name in "ABU"}
    return images | {"A_paths": ["a"] * size, "B_paths": ["b"] * size, "U_paths": ["u"] * size}


def step(model: TranslationModel, data: dict[str, Any]) -> dict[str, torch.Tensor]:
    return Updater(model, OptimizerOptions(), StepOptions(), 0, Compute(torch.device("cpu"))).step(data, 0)


def test_terms_follow_the_weights(tiny: list[str]) -> None:
    assert set(step(make(tiny), batch())) == {"G_L1", "G_GAN", "D_real", "D_fake"}
    without_discriminator = make(tiny, "--lambda_GAN", "0", "--lambda_cycle", "2")
    assert set(without_discriminator.networks()) == {"G", "back"}
    assert set(step(without_discriminator, batch())) == {"G_L1", "cycle_U", "back_L1"}
    with pytest.raises(UserError, match="nothing learns from images without targets"):
        make(tiny, "--lambda_GAN", "0")
    with pytest.raises(UserError, match="--augment color is about the discriminator"):
        make(tiny, "--lambda_GAN", "0", "--lambda_cycle", "1", "--augment", "color")


def test_a_way_back_cannot_begin_in_the_middle_of_a_training(tiny: list[str]) -> None:
    options, computing = (OptimizerOptions(), StepOptions(), 0), Compute(torch.device("cpu"))
    before, later = (Updater(make(tiny, "--lambda_cycle", weight), *options, computing) for weight in ("0", "1"))
    with pytest.raises(UserError, match="--continue_train: .*has other networks; leave out .*--lambda_cycle"):
        later.load_state_dict(before.state_dict())


def test_the_discriminator_sees_translations_of_images_without_targets(tiny: list[str]) -> None:
    model, data = make(tiny), batch()
    discriminator, generator = model.phases()
    images = model(data)
    losses = discriminator.loss(data, images) | generator.loss(data, images)
    before = {name: value.item() for name, value in losses.items()}
    changed = images | {"fake_B": images["fake_B"] * 0}
    after = discriminator.loss(data, changed) | generator.loss(data, changed)
    assert {name for name, value in before.items() if after[name].item() != pytest.approx(value)} == {"G_L1"}
    changed = images | {"fake_U": images["fake_U"] * 0 + 0.7}
    after = discriminator.loss(data, changed) | generator.loss(data, changed)
    assert {name for name, value in before.items() if after[name].item() != pytest.approx(value)} == {"G_GAN", "D_fake"}


def test_the_way_back_learns_from_pairs_and_from_what_returns(tiny: list[str]) -> None:
    model, data = make(tiny, "--lambda_cycle", "3"), batch()
    images = model(data)
    losses = model.loss_G(data, images)
    expected = 3 * (model.back(images["fake_U"]) - data["U"]).abs().mean()
    assert losses["cycle_U"].item() == pytest.approx(expected.item(), rel=1e-5)
    expected = 3 * (model.back(data["B"]) - data["A"]).abs().mean()
    assert losses["back_L1"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_pictures_show_images_without_targets_in_training_alone(tiny: list[str]) -> None:
    model, data = make(tiny, "--lambda_cycle", "1"), batch()
    assert list(model.predict(data)) == list(model.visuals)
    pair = {name: data[name] for name in ("A", "B")}
    assert list(model.eval().predict(pair)) == ["real_A", "fake_B", "real_B"]


def test_a_training_on_pairs_and_a_folder(
    train: Any, tiny: list[str], aligned: Any, unaligned: Any, tmp_path: Any
) -> None:
    words = ["--dataroot", aligned, "--checkpoints_dir", tmp_path, "--name", "run", "--max_steps", "2"]
    assert train("--model", "semi", *words, *tiny, "--dir_U", unaligned / "trainA", "--no_html", "false") == 0
    assert {path.name for path in (tmp_path / "run").glob("latest_net_*.pth")} == {
        "latest_net_G.pth",
        "latest_net_D.pth",
    }
    with pytest.raises(UserError, match="no image U, which --model semi trains on; use --dataset_mode semi"):
        train("--model", "semi", *words, *tiny, "--dataset_mode", "aligned")
    from commands.testing import TestingSession
    from options.test_options import TestOptions

    flags = ["--dataroot", aligned, "--checkpoints_dir", tmp_path, "--name", "run", "--results_dir", tmp_path / "out"]
    TestingSession(TestOptions().parse([str(word) for word in flags])).run()
    assert len(list((tmp_path / "out").rglob("*fake_B.png"))) == 2
