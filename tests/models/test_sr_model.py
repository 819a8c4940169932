"""Super-resolution: distances at the target's size, and a discriminator that sees the output alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from commands.build import build_model
from models.base import TranslationModel
from options.train_options import TrainOptions
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute
from util.errors import UserError

SMALL = ["--ngf", "4", "--scale", "2", "--preprocess", "none", "--gpu_ids", "-1", "--lambda_VGG", "0"]
RRDB = ["--n_blocks", "1", "--growth", "2"]


def make(name: str, *words: str) -> TranslationModel:
    options = TrainOptions().parse(["--dataroot", ".", "--model", name, *SMALL, *words])
    return build_model(options, train=True).train()


def batch(pixels: int = 16, scale: int = 2) -> dict[str, Any]:
    random = torch.Generator().manual_seed(0)
    large = F.interpolate(torch.rand(2, 3, 4, 4, generator=random), scale_factor=scale * pixels / 4, mode="bicubic")
    return {"A": F.avg_pool2d(large, scale) * 2 - 1, "B": large * 2 - 1}


def updater(model: TranslationModel, lr: float = 1e-3) -> Updater:
    return Updater(model, OptimizerOptions(lr=lr, beta1=0.9), StepOptions(), 0, Compute(torch.device("cpu")))


def test_a_network_learns_to_enlarge_one_batch() -> None:
    model, data = make("sr", "--netG", "compact", "--n_convs", "2"), batch()
    step = updater(model, 3e-3)
    errors = [step.step(data, number)["G_L1"].item() for number in range(60)]
    assert model.predict(data)["fake_B"].shape == data["B"].shape
    assert errors[-1] < errors[0] / 2


def test_images_of_odd_size_are_cut_alike_where_the_network_folds_them() -> None:
    models = [make("sr", "--netG", "rrdb", *RRDB) for _ in range(2)]  # x2, which folds 2x2 pixels of the input
    data = batch()
    odd = {"A": data["A"][..., :9, :7], "B": data["B"][..., :18, :14], "A_paths": ["a"] * 2, "B_paths": ["a"] * 2}
    even = {"A": data["A"][..., :8, :6], "B": data["B"][..., :16, :12]}
    losses = [updater(model).step(images, 0) for model, images in zip(models, (odd, even), strict=True)]
    assert torch.equal(losses[0]["G_L1"], losses[1]["G_L1"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("srgan", ["--netD", "srgan", "--ndf", "2", "--size_D", "32", "--n_blocks", "1"]),
        ("esrgan", ["--netD", "vgg128", "--ndf", "2", "--size_D", "32", "--norm", "none", *RRDB]),
        ("real_esrgan", ["--netD", "unet_sn", "--ndf", "2", *RRDB]),
    ],
)
def test_the_papers_discriminators_see_the_large_image_alone(name: str, words: list[str]) -> None:
    model, data = make(name, *words), batch()
    losses = updater(model).step(data, 0)
    assert {"G_GAN", "D_real", "D_fake"} <= set(losses) and all(torch.isfinite(v) for v in losses.values())
    first = next(p for p in model.networks()["D"].parameters() if p.ndim == 4)
    assert first.shape[1] == 3


def test_generator_and_discriminator_are_scored_by_the_relativistic_average() -> None:
    model, data = make("esrgan", "--netD", "pixel", "--ndf", "2", "--norm", "none", *RRDB), batch()
    images = model(data)
    real, fake = (model.networks()["D"](x)[0].logits for x in (data["B"], images["fake_B"]))
    up, down = F.softplus(-(real - fake.mean())).mean(), F.softplus(fake - real.mean()).mean()
    turned = (F.softplus(real - fake.mean()).mean() + F.softplus(-(fake - real.mean())).mean()) / 2
    discriminator, generator = (phase.loss(data, images) for phase in model.phases())
    torch.testing.assert_close((discriminator["D_real"], discriminator["D_fake"]), (up, down))
    torch.testing.assert_close(generator["G_GAN"], 0.005 * turned)
    torch.testing.assert_close(generator["G_L1"], 0.005 * (images["fake_B"] - data["B"]).abs().mean())


def test_distances_are_to_the_sharp_target_and_the_discriminator_sees_the_plain_one() -> None:
    model, data = make("real_esrgan", "--netD", "pixel", "--ndf", "2", "--norm", "none", *RRDB), batch()
    plain = data | {"B_plain": data["B"].roll(1, 3) * 0.9}
    discriminator, generator = model.phases()
    images = model(data)
    first, second = (discriminator.loss(each, images) for each in (data, plain))
    assert first["D_fake"] == second["D_fake"] and first["D_real"] != second["D_real"]
    torch.testing.assert_close(second["D_real"], discriminator.loss(data | {"B": plain["B_plain"]}, images)["D_real"])
    assert generator.loss(data, images)["G_L1"] == generator.loss(plain, images)["G_L1"]


def test_distances_alone_need_no_discriminator_and_nothing_at_all_is_refused() -> None:
    model = make("sr", "--netG", "compact", "--n_convs", "1", "--lambda_charbonnier", "2", "--lambda_L1", "0")
    assert list(model.networks()) == ["G"]
    data = batch()
    (phase,) = model.phases()
    assert list(phase.loss(data, model(data))) == ["G_Charbonnier"]
    with pytest.raises(UserError, match="nothing to train"):
        make("sr", "--lambda_L1", "0")


def test_one_scale_serves_the_network_and_the_data() -> None:
    options = TrainOptions().parse(["--dataroot", ".", "--model", "sr", "--netG", "fsrcnn", "--scale", "3"])
    chosen = [options.chosen(selector) for selector in ("netG", "dataset_mode")]
    assert [choice[1].scale for choice in chosen if choice is not None] == [3, 3]
