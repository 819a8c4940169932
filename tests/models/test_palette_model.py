"""Palette: the loss knows the noise, known pixels stay, and the same seed draws the same image in any company."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from PIL import Image
from torch import Tensor

from commands.build import build_model
from commands.training import TrainingSession
from inference.export.portable import PortableModel
from inference.predictor import UNCERTAINTY, Predictor
from inference.settings import InferenceOptions
from models.base import TranslationModel
from models.networks.lab import rgb_to_lab
from models.palette_model import Palette
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.training.runs import DIFFUSION
from util.errors import UserError
from util.noise import sample_noise

TINY = ["--ngf", "4", *DIFFUSION, "--gpu_ids", "-1", "--preprocess", "none"]
FILL, COLOUR = ["--dataset_mode", "inpaint"], ["--dataset_mode", "colorization"]


def make(*words: str, train: bool = True) -> Any:
    options = TrainOptions().parse(["--dataroot", ".", "--model", "palette", *TINY, "--init_type", "kaiming", *words])
    return build_model(options, train=train).train(train)


def images(count: int = 2, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, 16, 24, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


def with_hole(image: Tensor) -> Tensor:
    mask = torch.full_like(image[:, :1], -1.0)
    mask[..., 4:12, 6:18] = 1.0
    return torch.cat([image, mask], 1)


def predictor(model: TranslationModel, **options: Any) -> Predictor:
    return Predictor(model, torch.device("cpu"), options=InferenceOptions(**options))


@pytest.mark.parametrize("kind", ["epsilon", "image", "v"])
def test_who_tells_the_truth_has_no_loss_and_finds_the_target(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, target = make("--prediction", kind, "--lambda_L1", "1"), images()
    wanted = model.diffusion.attempt(target, target).wanted
    monkeypatch.setattr(model.diffusion, "_denoised", lambda condition, noisy, level: wanted)
    with sample_noise([1, 2]):
        wanted = model.diffusion.attempt(target, target).wanted
    with sample_noise([1, 2]):
        made = model({"A": target, "B": target})
    torch.testing.assert_close(made["fake_B"], target, atol=2e-2, rtol=0)
    (phase,) = model.phases()
    assert {name: value.item() for name, value in phase.loss({"A": target}, made).items()} == {"G_MSE": 0, "G_L1": 0}


@pytest.mark.parametrize("kind", ["epsilon", "image", "v"])
@pytest.mark.parametrize(("steps", "levels"), [(15, 1000), (61, 1000), (30, 50), (50, 50)])
def test_who_tells_the_truth_leaves_no_noise_in_any_number_of_steps(
    kind: str, steps: int, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--prediction", kind, "--sampling_steps", str(steps), "--diffusion_steps", str(levels)]
    network, target, asked = make(*words, "--sampling_eta", "0.5", train=False).diffusion, images(), []

    def truth(condition: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        asked.append(level[0].item())
        signal, spread = level[0].sqrt(), (1 - level[0]).sqrt()
        noise = (noisy - signal * target) / spread
        return {"epsilon": noise, "image": target, "v": signal * noise - spread * target}[kind]

    monkeypatch.setattr(network, "_denoised", truth)
    torch.testing.assert_close(network(target), target, atol=1e-3, rtol=0)
    assert len(asked) == steps and asked == sorted(asked), "ever less noise"


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("kind", "called"), [("epsilon", "epsilon"), ("image", "sample"), ("v", "v_prediction")])
def test_steps_that_divide_the_levels_are_those_of_the_library(
    kind: str, called: str, eta: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--prediction", kind, "--sampling_steps", "10", "--diffusion_steps", "50", "--sampling_eta", str(eta)]
    network, noise = make(*words, train=False).diffusion, torch.randn(2, 3, 16, 24)
    monkeypatch.setattr(network, "_settled", lambda like, place: noise)
    monkeypatch.setattr(network, "_denoised", lambda condition, noisy, level: 0.3 * noisy + 0.2 * condition)
    theirs = DDIMScheduler(
        50, 0.1 / 50, 20 / 50, "linear", prediction_type=called, clip_sample=True, timestep_spacing="trailing"
    )
    theirs.set_timesteps(10)
    x = noise
    for time in theirs.timesteps:
        guess = 0.3 * x + 0.2 * images()
        x = theirs.step(guess, time, x, eta, use_clipped_model_output=True, variance_noise=noise).prev_sample
    torch.testing.assert_close(network(images()), x.clamp(-1, 1), atol=1e-4, rtol=0)


def test_noise_has_the_share_that_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = make(), []
    monkeypatch.setattr(model.diffusion, "_denoised", lambda c, noisy, level: seen.append((noisy, level)) or noisy)
    clean = torch.zeros(400, 3, 4, 4)
    model.diffusion.attempt(clean, clean)
    ((noisy, level),) = seen
    found = noisy.square().mean((1, 2, 3))
    assert (found - (1 - level)).abs().max() < 1 and (found - (1 - level)).mean().abs() < 0.05
    assert level.min() < 0.01 and level.max() > 0.98 and 0.3 < (level < 0.5).float().mean() < 0.9


def test_training_noise_belongs_to_the_sample() -> None:
    network, given = make().diffusion, images(2)
    with sample_noise([5, 6]):
        both = network.attempt(given, given)
    with sample_noise([6]):
        alone = network.attempt(given[1:], given[1:])
    assert torch.equal(both.wanted[1:], alone.wanted) and not torch.equal(both.wanted[:1], alone.wanted)
    torch.testing.assert_close(both.guess[1:], alone.guess)


@pytest.mark.parametrize("eta", ["0", "1"])
def test_an_image_is_the_same_in_any_company_and_another_by_another_seed(eta: str) -> None:
    words = ["--sampling_steps", "3", "--sampling_eta", eta]
    model, given = make(*words, train=False), images(3)
    state = torch.get_rng_state()
    whole = model.predict({"A": given})["fake_B"]
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(model.predict({"A": given[2:]})["fake_B"], whole[2:], atol=1e-3, rtol=0)
    other = make(*words, "--sampling_seed", "1", train=False)
    other.load_state_dict(model.state_dict())
    assert (other.predict({"A": given})["fake_B"] - whole).abs().mean() > 0.01
    assert whole.abs().max() <= 1


def test_holes_alone_are_made_and_count() -> None:
    model, image = make(*FILL, "--sampling_steps", "2"), images()
    given = with_hole(image)
    hole = given[:, -1:] > 0
    shown = model.predict({"A": given, "B": image})
    assert torch.equal(shown["fake_B"][~hole.expand_as(image)], image[~hole.expand_as(image)])
    assert (shown["real_A"][hole.expand_as(image)] == -1).all()
    spoiled = given.clone()
    spoiled[:, :3][hole.expand_as(image)] = float("nan")
    assert torch.equal(model.predict({"A": spoiled})["fake_B"], shown["fake_B"])
    told = {"guess_B": torch.where(hole, 1.0, 9.0).expand_as(image), "wanted_B": torch.zeros_like(image)}
    assert model.loss_G({"A": given}, told)["G_MSE"].item() == 1


def test_unknown_targets_do_not_count() -> None:
    model, image, mask = make(), images(), torch.ones(2, 1, 16, 24)
    mask[..., :12] = 0
    batch = {"A": image, "B": torch.where(mask > 0, image, float("nan")), "B_mask": mask}
    assert model.loss_G(batch, model(batch))["G_MSE"].isfinite()


def test_colours_are_made_for_the_lightness() -> None:
    model, image = make(*COLOUR), images()
    shown = model.predict({"A": image, "B": image})
    assert torch.equal(shown["real_A"], rgb_to_lab(image)[0])
    assert model.diffusion.output_nc == 2 and shown["fake_B"].shape == image.shape
    assert model({"A": image, "B": image})["wanted_B"].shape == (2, 2, 16, 24)


def test_several_images_give_a_mean_and_how_much_they_differ() -> None:
    model, given = make("--sampling_steps", "2", train=False), images(1)
    one = predictor(model)({"A": given})["fake_B"]
    several = predictor(model, mc_dropout=3)({"A": given})
    assert (several[UNCERTAINTY] + 1).mean() > 0.01 and not torch.equal(several["fake_B"], one)
    torch.testing.assert_close(predictor(model, mc_dropout=1)({"A": given})["fake_B"], one)


def test_odd_sizes_and_the_eight_symmetries_come_back_whole() -> None:
    model = make("--sampling_steps", "2", "--diffusion_patch", "2", train=False)
    assert model.size_multiple == 4
    assert predictor(model, tta="x8")({"A": images(1)[..., :15, :22]})["fake_B"].shape == (1, 3, 15, 22)


@pytest.mark.parametrize("words", [[], COLOUR], ids=["image", "colours"])
def test_export_is_refused_with_the_reason(words: list[str]) -> None:
    with pytest.raises(UserError, match="out of random numbers, in many steps"):
        PortableModel(predictor(make(*words, train=False)))


def test_training_shows_few_steps_and_testing_makes_all() -> None:
    steps = [make("--sampling_steps", "7", train=train).diffusion.sampling_steps for train in (True, False)]
    assert steps == [2, 7]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--lambda_MSE", "0"], "nothing to train"),
        (["--sampling_steps", "60", "--diffusion_steps", "50"], "--sampling_steps 60: at most 50"),
        ([*FILL, "--input_nc", "3"], "--input_nc 3 must be one more"),
    ],
)
def test_what_cannot_be_is_one_line(words: list[str], part: str) -> None:
    with pytest.raises(UserError, match=part):
        make(*words)


def test_another_generator_is_refused() -> None:
    with pytest.raises(UserError, match="trains --netG diffusion"):
        build_model(TrainOptions().parse(["--model", "palette", "--dataroot", ".", "--netG", "srcnn"]), train=True)


def test_other_methods_do_not_train_through_the_sampler(tmp_path: pathlib.Path) -> None:
    words = ["--model", "pix2pix", "--netG", "diffusion", "--dataroot", str(tmp_path), "--gpu_ids", "-1", "--dry_run"]
    with pytest.raises(UserError, match="--netG diffusion: is trained by --model palette alone"):
        TrainingSession(TrainOptions().parse(words))


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-diffusion\.txt"):
        make()


@pytest.mark.parametrize("mode", ["aligned", "inpaint", "colorization"])
def test_a_run_translates_files_twice_alike(
    mode: str, train: Callable[..., int], aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    words = ["--model", "palette", "--dataset_mode", mode, "--dataroot", aligned, "--checkpoints_dir", tmp_path, *TINY]
    words += ["--num_threads", "0", "--display_id", "0", "--no_html", "--max_steps", "1", "--sampling_steps", "2"]
    assert train(*words, "--precision", "fp32") == 0
    from commands.testing import TestingSession
    from commands.translating import TranslatingSession

    run = ["--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1", "--sampling_steps", "2", "--precision", "fp32"]
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 20, 3), dtype=np.uint8)).save(photo)
    hole = ["--mask", str(tmp_path / "mask.png")] if mode == "inpaint" else []
    Image.fromarray(np.eye(16, 20, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    results = []
    for name in ("one.png", "two.png"):
        into = ["--input", str(photo), "--output", str(tmp_path / name)]
        assert TranslatingSession(TestOptions().parse([*run, *into, *hole])).run() == 0
        results.append(np.asarray(Image.open(tmp_path / name)))
    assert np.array_equal(*results) and results[0].shape == (16, 20, 3)
    if mode == "inpaint":
        known = np.eye(16, 20) == 0
        assert np.array_equal(results[0][known], np.asarray(Image.open(photo))[known])
    where = ["--dataroot", str(aligned), "--results_dir", str(tmp_path / "results")]
    options = TestOptions().parse([*run, *where, "--num_test", "1"])
    assert TestingSession(options).run() == 0
    assert isinstance(build_model(options, train=False), Palette)
