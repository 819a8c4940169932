"""Inpainting: known pixels stay, holes are learned, and each discriminator sees what its paper says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from commands.build import build_model
from models.base import TranslationModel
from models.losses.holes import weighted_l1
from models.networks.holes import continue_smoothly
from options.train_options import TrainOptions
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute
from util.errors import UserError
from util.noise import sample_noise

TINY = ["--netG", "resnet_6blocks", "--ngf", "4", "--no_dropout", "--netD", "basic", "--ndf", "4"]
TINY += ["--preprocess", "none", "--gpu_ids", "-1"]
PLAIN = ["--lambda_VGG", "0", "--lambda_style", "0", "--lambda_HRF", "0"]


def make(name: str, *words: str) -> TranslationModel:
    return build_model(TrainOptions().parse(["--dataroot", ".", "--model", name, *TINY, *PLAIN, *words]), train=True)


def batch(size: int = 2, pixels: int = 32, channels: int = 3) -> dict[str, Any]:
    random = torch.Generator().manual_seed(0)
    image = F.interpolate(torch.rand(size, channels, 4, 4, generator=random) * 1.6 - 0.8, (pixels, pixels))
    mask = torch.full((size, 1, pixels, pixels), -1.0)
    mask[..., 8:20, 10:24] = 1.0
    return {"A": torch.cat([torch.where(mask > 0, 0.7, image), mask], 1), "B": image}


def as_doubles(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value.double() for key, value in data.items()}


def hole_of(data: dict[str, Any]) -> Tensor:
    return (data["A"][:, -1:] > 0).float()


def step(model: TranslationModel, data: dict[str, Any], number: int = 0, lr: float = 2e-3) -> dict[str, Tensor]:
    return Updater(model, OptimizerOptions(lr=lr), StepOptions(), 0, Compute(torch.device("cpu"))).step(data, number)


def test_known_pixels_are_the_inputs_and_nothing_of_the_hole_is_seen() -> None:
    model, data = make("inpaint").eval(), batch()
    images = model.predict(data)
    known = (hole_of(data) == 0).expand(-1, 3, -1, -1)
    assert torch.equal(images["fake_B"][known], data["A"][:, :3][known])
    spoiled = dict(data, A=data["A"].clone())
    spoiled["A"][:, :3][~known] = float("nan")
    again = model.predict(spoiled)
    assert all(torch.equal(images[label], again[label]) for label in ("real_A", "fake_B"))
    assert (images["real_A"][~known] == -1).all() and images["real_A"].shape == images["real_B"].shape


def test_the_hole_is_learned_by_heart() -> None:
    model, data = make("inpaint", "--lambda_GAN", "0").train(), batch(1)
    updater = Updater(model, OptimizerOptions(lr=3e-3), StepOptions(), 0, Compute(torch.device("cpu")))
    losses = [updater.step(data, number) for number in range(60)]
    assert set(losses[0]) == {"G_L1", "G_hole"}
    assert losses[-1]["G_hole"] < 0.3 * losses[0]["G_hole"]


def test_pixel_losses_count_where_their_names_say() -> None:
    weights = {"GAN": 0, "L1": 1, "known": 2, "hole": 3, "hole_MSE": 4}
    words = [word for name, weight in weights.items() for word in (f"--lambda_{name}", str(weight))]
    model, data = make("inpaint", *words).train(), batch()
    images, hole = model(data), hole_of(data)
    (phase,) = model.phases()
    found = phase.loss(data, images)
    difference = images["made_B"] - data["B"]
    assert found["G_L1"].item() == pytest.approx(difference.abs().mean().item())
    assert found["G_known"].item() == pytest.approx(2 * (difference.abs() * (1 - hole)).mean().item())
    assert found["G_hole"].item() == pytest.approx(3 * (difference.abs() * hole).mean().item())
    squares = (difference.square() * hole).sum((1, 2, 3)) / (3 * hole.sum((1, 2, 3)))
    assert found["G_hole_MSE"].item() == pytest.approx(4 * squares.mean().item(), rel=1e-5)
    unknown = dict(data, B_mask=1 - hole, B=torch.where(hole > 0, float("nan"), data["B"]))
    masked = phase.loss(unknown, images)
    assert masked["G_hole"] == masked["G_hole_MSE"] == 0 and masked["G_known"] == found["G_known"]


def test_a_weight_of_zero_hides_even_what_is_no_number() -> None:
    output, target = torch.ones(1, 1, 1, 2), torch.tensor([[[[float("nan"), 0.0]]]])
    assert weighted_l1(output, target, torch.tensor([[[[0.0, 2.0]]]])).item() == 1.0


@pytest.mark.parametrize(("shown", "channels"), [("output", 3), ("composed", 3), ("mask", 4)])
def test_the_discriminator_sees_what_the_flag_says(shown: str, channels: int) -> None:
    model, data = make("inpaint", "--D_input", shown, "--gan_mode", "lsgan").train(), batch()
    seen: list[Tensor] = []
    model.networks()["D"].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    images = model(data)
    model.phases()[1].loss(data, images)
    (fake,) = seen
    assert fake.shape[1] == channels
    assert torch.equal(fake[:, :3], images["made_B" if shown == "output" else "fake_B"])
    assert channels == 3 or torch.equal(fake[:, 3:], hole_of(data))


@pytest.mark.parametrize("name", ["lama", "deepfillv2", "aot_gan", "gin"])
def test_every_variant_takes_a_step(name: str) -> None:
    losses = step(make(name).train(), batch())
    assert {"G_GAN", "D_real", "D_fake"} <= set(losses) and all(value.isfinite() for value in losses.values())
    expected = {"lama": {"G_FM", "G_known", "D_gp"}, "gin": {"G_FM", "G_TV", "G_known", "G_hole"}}
    assert expected.get(name, {"G_L1"}) <= set(losses)


def test_r1_is_of_what_the_discriminator_sees_of_real_images() -> None:
    words = ["--D_input", "mask", "--gan_mode", "lsgan", "--lambda_R1", "3", "--norm", "instance"]
    model, data = make("inpaint", *words).double().train(), as_doubles(batch())
    (found,) = model.phases()[0].lazy_penalty(data, model(data)).values()  # type: ignore[misc]
    x = torch.cat([data["B"], hole_of(data).double()], 1).requires_grad_(True)
    (output,) = model.D(x)  # type: ignore[operator]
    (slope,) = torch.autograd.grad(output.logits.mean((1, 2, 3)).sum(), x)
    assert found.item() == pytest.approx(1.5 * slope.square().sum((1, 2, 3)).mean().item())
    assert "D_R1" in step(make("inpaint", *words).train(), batch())


@pytest.mark.parametrize("shown", ["output", "mask"])
def test_the_hole_is_moved_with_the_image_and_not_colored(shown: str) -> None:
    words = ["--D_input", shown, "--gan_mode", "soft_mask", "--augment", "color,translation,cutout"]
    model, data = make("inpaint", *words).train(), batch()
    seen, known = list[Tensor](), list[Tensor]()
    model.networks()["D"].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    loss = model.adversarial.discriminator_loss
    model.adversarial.discriminator_loss = lambda real, fake, hole: known.append(hole) or loss(real, fake, hole)  # type: ignore[func-returns-value, method-assign]
    with sample_noise([1, 2]):
        model.phases()[0].loss(dict(data, B=hole_of(data).expand(-1, 3, -1, -1)), model(data))
    (hole,) = known
    assert set(hole.unique().tolist()) <= {0.0, 1.0} and not torch.equal(hole, hole_of(data))
    if shown == "mask":
        assert all(torch.equal(image[:, 3:], hole) for image in seen[0].split(2))
    step(model, data)


def test_images_without_a_hole_cost_nothing_that_is_no_number() -> None:
    data = batch()
    data["A"][:, -1:] = -1
    for name in ("lama", "aot_gan"):
        losses = step(make(name, "--lambda_hole_MSE", "1").train(), data)
        assert all(value.isfinite() for value in losses.values()) and losses["G_hole_MSE"] == 0


class TwoPasses(nn.Module):
    """A coarse-to-fine generator of one number: the second pass paints one more than the first."""

    size_multiple = scale = 1
    coarse_to_fine = True

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(0.25))

    def forward(self, x: Tensor) -> Tensor:
        return self.passes(x)[-1]

    def passes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.value.expand_as(x[:, :-1])
        return first, first + 1


def test_the_first_pass_of_a_coarse_to_fine_generator_is_compared_too() -> None:
    model, data = make("deepfillv2", "--lambda_GAN", "0", "--lambda_coarse", "2").train(), batch()
    model.G = TwoPasses()
    images = model(data)
    found = model.phases()[0].loss(data, images)
    assert found["G_coarse"].item() == pytest.approx(2 * (0.25 - data["B"]).abs().mean().item(), rel=1e-5)
    assert found["G_L1"].item() == pytest.approx((1.25 - data["B"]).abs().mean().item(), rel=1e-5)
    assert "coarse_B" not in model.eval()(data)


def test_what_cannot_be_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="--augment_p auto.*this --gan_mode does not say"):
        make("inpaint", "--augment", "color", "--augment_p", "auto")
    with pytest.raises(UserError, match="--lambda_FM 100 is about the discriminator.* add --lambda_FM 0"):
        make("lama", "--lambda_GAN", "0")
    with pytest.raises(UserError, match="give --input_nc 4"):
        make("inpaint", "--input_nc", "3")
    with pytest.raises(UserError, match="nothing to train"):
        make("inpaint", "--lambda_L1", "0", "--lambda_hole", "0", "--lambda_GAN", "0")
    with pytest.raises(UserError, match="--resnet_weights.*--lambda_HRF 0"):
        make("inpaint", "--lambda_HRF", "1")


def test_grey_images_have_two_channels() -> None:
    model, data = make("inpaint", "--input_nc", "2", "--output_nc", "1").train(), batch(channels=1)
    assert model.predict(data)["fake_B"].shape == (2, 1, 32, 32)
    assert all(value.isfinite() for value in step(model, data).values())


def test_a_smooth_start_is_added_to() -> None:
    model, data = make("inpaint", "--lambda_GAN", "0", "--hole_start", "smooth").eval(), batch()
    for weight in model.G.parameters():
        torch.nn.init.zeros_(weight)
    image, mask = data["A"][:, :3], hole_of(data)
    assert torch.equal(model(data)["made_B"], continue_smoothly(image, mask))
    assert model(data)["fake_B"][mask.expand_as(image) > 0].std() > 0.01
