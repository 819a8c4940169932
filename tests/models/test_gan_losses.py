"""What a discriminator costs and teaches, by hand; penalties that come rarely weigh as much."""

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
from util.noise import sample_noise

Words = list[str]


def make(tiny: Words, *words: str) -> TranslationModel:
    options = TrainOptions().parse(["--dataroot", ".", *tiny, "--init_gain", "0.2", *words])
    return build_model(options, train=True).double().train()


def updater(model: TranslationModel, **step: Any) -> Updater:
    return Updater(model, OptimizerOptions(), StepOptions(**step), 0, Compute(torch.device("cpu")))


def batch(number: int = 0, count: int = 2) -> dict[str, Any]:
    random = torch.Generator().manual_seed(number)
    sides = {side: torch.rand(count, 3, 32, 32, dtype=torch.float64, generator=random) * 2 - 1 for side in "AB"}
    return sides | {"A_paths": ["a"] * count, "B_paths": ["b"] * count, "key": [10 * number + i for i in range(count)]}


def test_r1_is_half_the_squared_slope_at_real_pairs(tiny: Words) -> None:
    model, data = make(tiny, "--model", "pix2pix", "--lambda_R1", "3"), batch()
    discriminator = next(phase for phase in model.phases() if phase.name == "D")
    assert discriminator.lazy_penalty is not None
    found = discriminator.lazy_penalty(data, model(data))["D_R1"]
    x = torch.cat([data["A"], data["B"]], 1).requires_grad_(True)
    (output,) = model.D(x)  # type: ignore[operator]
    (slope,) = torch.autograd.grad(output.logits.mean((1, 2, 3)).sum(), x)
    assert found.item() == pytest.approx(1.5 * slope.square().sum((1, 2, 3)).mean().item())


def test_r1_counts_every_so_many_steps_so_many_times(tiny: Words) -> None:
    gradients = []
    for every in ("1", "4"):
        model = make(tiny, "--model", "cycle_gan", "--lambda_R1", "5", "--R1_every", every)
        step = updater(model)
        losses = [step.step(batch(k), k) for k in range(5)]
        assert [("D_A_R1" in each) for each in losses] == [k % int(every) == 0 for k in range(5)]
        del step
        model = make(tiny, "--model", "cycle_gan", "--lambda_R1", "5", "--R1_every", every)
        updater(model).step(batch(), 0)
        gradients.append(torch.cat([p.grad.flatten() for p in model.D_A.parameters()]))  # type: ignore[union-attr]
    plain = make(tiny, "--model", "cycle_gan")
    updater(plain).step(batch(), 0)
    without = torch.cat([p.grad.flatten() for p in plain.D_A.parameters()])  # type: ignore[union-attr]
    torch.testing.assert_close(gradients[1] - without, 4 * (gradients[0] - without))


def test_feature_matching_compares_what_d_sees(tiny: Words) -> None:
    model, data = make(tiny, "--model", "pix2pix", "--lambda_FM", "7"), batch()
    generator = next(phase for phase in model.phases() if phase.name == "G")
    images = model(data)
    found = generator.loss(data, images)["G_FM"]
    (fake,), (real,) = (model.D(torch.cat([data["A"], x], 1)) for x in (images["fake_B"], data["B"]))  # type: ignore[operator]
    means = [(one - other).abs().mean().item() for one, other in zip(fake.features, real.features, strict=True)]
    assert found.item() == pytest.approx(7 * sum(means) / len(means))
    assert generator.loss(data, {"fake_B": data["B"]})["G_FM"].item() == 0


@pytest.mark.parametrize("name", ["pix2pix", "cycle_gan"])
def test_augmentation_changes_what_d_sees_alone_and_parts_of_a_batch_change_nothing(tiny: Words, name: str) -> None:
    words = ["--model", name, "--norm", "instance", "--augment", "color,translation,cutout", "--augment_p", "auto"]
    words += ["--lambda_R1", "1", "--augment_images", "4", "--augment_target", "0"]
    whole, parted = make(tiny, *words), make(tiny, *words)
    steps = updater(whole), updater(parted, accumulate=2)
    for number in range(3):
        losses = [step.step(batch(number), number) for step in steps]
        for term in losses[0]:
            torch.testing.assert_close(losses[0][term], losses[1][term], rtol=1e-6, atol=1e-9)
    states = whole.state_dict(), parted.state_dict()
    probabilities = [key for key in states[0] if key.endswith(".p")]
    assert len(probabilities) == len([n for n in whole.networks() if n.startswith("D")])
    assert all(torch.equal(states[0][key], states[1][key]) for key in probabilities)


def test_real_and_generated_image_of_a_sample_are_altered_alike(tiny: Words) -> None:
    model, data = make(tiny, "--model", "pix2pix", "--augment", "color,translation", "--norm", "instance"), batch()
    with sample_noise(data["key"]):
        losses = next(phase for phase in model.phases() if phase.name == "D").loss(data, {"fake_B": data["B"]})
        generator = next(phase for phase in model.phases() if phase.name == "G").loss(data, {"fake_B": data["B"]})
    logits = torch.log(torch.expm1(losses["D_real"]))
    assert logits.isfinite() and losses["D_real"].item() == pytest.approx(generator["G_GAN"].item()), "the same image"


def test_an_image_that_is_no_number_changes_the_controller_only_in_good_steps(tiny: Words) -> None:
    words = ["--model", "pix2pix", "--augment", "color", "--augment_p", "auto", "--augment_images", "4"]
    model = make(tiny, *words, "--augment_target", "0")
    step = updater(model)
    step.step(batch(0), 0)
    before = {key: value.clone() for key, value in model.state_dict().items() if "augment" in key}
    bad = batch(1)
    bad["B"][:] = float("nan")
    step.step(bad, 1)
    after = model.state_dict()
    assert before and all(torch.equal(after[key], value) for key, value in before.items())


@pytest.mark.parametrize(
    ("name", "probability", "told"),
    [
        ("pix2pix", "auto", {"augment_p"}),
        ("cycle_gan", "auto", {"augment_p_A", "augment_p_B"}),
        ("pix2pix", "0.5", set()),
    ],
)
def test_a_probability_that_changes_is_told(tiny: Words, name: str, probability: str, told: set[str]) -> None:
    model = make(tiny, "--model", name, "--augment", "color", "--augment_p", probability)
    for part in model.children():
        if hasattr(part, "p"):
            part.p.fill_(0.25)  # type: ignore[operator, union-attr]
    assert model.diagnostics() == dict.fromkeys(told, 0.25)


def test_modes_without_a_midpoint_refuse_the_controller(tiny: Words) -> None:
    with pytest.raises(UserError, match="--augment_p auto.*vanilla"):
        make(tiny, "--model", "pix2pix", "--gan_mode", "wgangp", "--augment", "color", "--augment_p", "auto")


def test_two_kinds_of_r1_are_refused(tiny: Words) -> None:
    words = ["--model", "inpaint", "--gan_mode", "hole_patches", "--lambda_R1", "2"]
    with pytest.raises(UserError, match="--lambda_R1 2: --hole_R1 is R1 too; leave it out, or add --hole_R1 0"):
        make(tiny, *words)
    assert make(tiny, *words, "--hole_R1", "0").phases()[0].lazy_penalty is not None


def test_features_of_images_of_other_sizes_are_not_compared(tiny: Words) -> None:
    model, data = make(tiny, "--model", "semi", "--lambda_FM", "1"), batch()
    data["U"] = data["A"][..., :24]
    with pytest.raises(UserError, match="--lambda_FM 1 compares .* sizes differ: use --preprocess resize_and_crop, or"):
        updater(model).step(data, 0)


@pytest.mark.parametrize("mode", ["hole_patches", "soft_mask"])
def test_modes_that_look_at_holes_are_refused_where_there_are_none(tiny: Words, mode: str) -> None:
    with pytest.raises(UserError, match="looks at holes"):
        make(tiny, "--model", "pix2pix", "--gan_mode", mode)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--lambda_R1", "2"], "--lambda_R1 2 is about the discriminator"),
        (["--augment", "color,cutout"], "--augment color,cutout is about"),
        (["--lambda_GAN", "1", "--augment_p", "auto"], "nothing is altered; name --augment"),
    ],
)
def test_flags_of_a_discriminator_that_is_not_there_are_refused(tiny: Words, words: list[str], part: str) -> None:
    with pytest.raises(UserError, match=part):
        make(tiny, "--model", "pix2pix", "--lambda_GAN", "0", *words)
