from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.losses import GAN_MODES
from models.losses.adversarial import gradient_penalty
from models.networks import DISCRIMINATORS
from models.networks.norms import InstanceNorm2d
from models.networks.outputs import DiscriminatorOutput
from models.networks.patchgan import PatchDiscriminator
from tests.models.networks.small import small
from util.errors import UserError

MODES = GAN_MODES.names()


def loss(mode: str, **values: float):
    return GAN_MODES.get(mode)(GAN_MODES.options(mode)(**values))


def outputs(*values: float, dtype: torch.dtype = torch.float64) -> list[DiscriminatorOutput]:
    return [
        DiscriminatorOutput(torch.full((2, 1, 3, 3), value, dtype=dtype, requires_grad=True), []) for value in values
    ]


def generator_loss(mode: str, fake: list[DiscriminatorOutput], real: float = 0.5) -> Tensor:
    """Return the generator's loss, beside real images of one score where the mode compares."""
    adversarial = loss(mode)
    return adversarial.generator_loss(fake, *([outputs(*[real] * len(fake))] if adversarial.needs_real else []))


@pytest.mark.parametrize(
    ("mode", "real", "fake", "made"),
    (
        ("lsgan", (0.5 - 1) ** 2, 0.25**2, (0.25 - 1) ** 2),
        ("vanilla", math.log1p(math.exp(-0.5)), math.log1p(math.exp(0.25)), math.log1p(math.exp(-0.25))),
        ("hinge", 0.5, 1.25, -0.25),
        ("wgangp", -0.5, 0.25, -0.25),
        ("relativistic", *[math.log1p(math.exp(-0.25))] * 2, math.log1p(math.exp(0.25))),
        ("relativistic_average", *[math.log1p(math.exp(-0.25))] * 2, math.log1p(math.exp(0.25))),
    ),
)
def test_values(mode: str, real: float, fake: float, made: float) -> None:
    found = loss(mode).discriminator_loss(outputs(0.5), outputs(0.25))
    assert [x.item() for x in found] == pytest.approx([real, fake])
    assert generator_loss(mode, outputs(0.25)).item() == pytest.approx(made)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_push_real_up_fake_down_and_the_generator_up(mode: str) -> None:
    real, fake, made = outputs(0.3), outputs(0.3), outputs(0.3)
    sum(loss(mode).discriminator_loss(real, fake)).backward()
    generator_loss(mode, made).backward()
    assert (real[0].logits.grad < 0).all()
    assert (fake[0].logits.grad > 0).all()
    assert (made[0].logits.grad < 0).all()


@pytest.mark.parametrize("mode", ("lsgan", "vanilla", "hinge"))
def test_a_perfect_logit_costs_nothing(mode: str) -> None:
    real, fake = (1.0, 0.0) if mode == "lsgan" else (60.0, -60.0)
    assert [x.item() for x in loss(mode).discriminator_loss(outputs(real), outputs(fake))] == pytest.approx([0, 0])


@pytest.mark.parametrize("mode", MODES)
def test_extreme_half_precision_logits_stay_finite(mode: str) -> None:
    found = loss(mode).discriminator_loss(outputs(-3e4, dtype=torch.float16), outputs(3e4, dtype=torch.float16))
    assert all(x.isfinite() and x.dtype == torch.float32 for x in found)


def test_the_average_couples_the_samples_of_a_batch() -> None:
    """One fake's score changes what every real image is compared with, by its share of the mean."""
    real, fake = outputs(0.0), [DiscriminatorOutput(torch.tensor([[[[1.0]]], [[[3.0]]]], dtype=torch.float64), [])]
    D_real, D_fake = loss("relativistic_average").discriminator_loss(real, fake)
    assert D_real.item() == pytest.approx(math.log1p(math.exp(2.0))), "against the mean of 1 and 3"
    assert D_fake.item() == pytest.approx((math.log1p(math.exp(1.0)) + math.log1p(math.exp(3.0))) / 2)
    assert loss("relativistic_average").couples_samples and not loss("relativistic").couples_samples


@pytest.mark.parametrize("mode", MODES)
def test_scales_count_alike(mode: str) -> None:
    single = [generator_loss(mode, outputs(value)) for value in (0.2, 0.8)]
    torch.testing.assert_close(generator_loss(mode, outputs(0.2, 0.8)), torch.stack(single).mean())


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("wgangp", "hole_patches")])
def test_the_others_have_no_penalty(mode: str) -> None:
    assert loss(mode).penalty(lambda x: outputs(0.0), torch.zeros(1), torch.zeros(1)) is None


def linear(slope: float, scales: int = 1):
    """A critic whose mean logit has the gradient norm ``slope`` everywhere."""

    def critic(x: Tensor) -> list[DiscriminatorOutput]:
        return [DiscriminatorOutput(slope * x[:, :1] * x[0, :1].numel() ** 0.5, []) for _ in range(scales)]

    return critic


@pytest.mark.parametrize("scales", (1, 2))
@pytest.mark.parametrize(("slope", "wanted"), ((1.0, 0.0), (3.0, 4.0), (0.0, 1.0)))
def test_penalty_of_a_known_slope(slope: float, wanted: float, scales: int) -> None:
    real, fake = torch.rand(3, 2, 4, 5).double(), torch.rand(3, 2, 4, 5).double()
    assert gradient_penalty(linear(slope, scales), real, fake).item() == pytest.approx(wanted, abs=1e-5)
    penalty = loss("wgangp", lambda_gp=7.0).penalty(linear(slope), real, fake)
    assert penalty.item() == pytest.approx(7 * wanted, abs=1e-4)


def test_no_weight_builds_no_penalty() -> None:
    assert loss("wgangp", lambda_gp=0.0).penalty(linear(1), torch.zeros(1), torch.zeros(1)) is None


@pytest.mark.parametrize("layout", (torch.contiguous_format, torch.channels_last))
@pytest.mark.parametrize("norm", ("instance", "instance_affine", "none"))
def test_penalty_slope_equals_finite_differences_through_the_norm(norm: str, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(2, 4, 1, norm).double().to(memory_format=layout)
    assert norm == "none" or any(isinstance(m, InstanceNorm2d) for m in network.modules())
    real, fake = (torch.rand(2, 2, 12, 10).double().contiguous(memory_format=layout) for _ in range(2))

    def penalty() -> Tensor:
        torch.manual_seed(1)
        return gradient_penalty(network, real, fake)

    weight = network.model[0].weight
    direction = torch.randn_like(weight)
    (gradient,) = torch.autograd.grad(penalty(), weight)
    with torch.no_grad():
        weight.add_(direction, alpha=1e-6)
    above = penalty().item()
    with torch.no_grad():
        weight.sub_(direction, alpha=2e-6)
    slope = (above - penalty().item()) / 2e-6
    assert abs(slope) > 1e-6
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("name", DISCRIMINATORS.names())
def test_penalty_trains_every_discriminator_and_leaves_the_images_alone(name: str) -> None:
    network = small("D", name)
    real, fake = torch.rand(2, 3, 64, 64, requires_grad=True), torch.rand(2, 3, 64, 64, requires_grad=True)
    loss("wgangp").penalty(network, real, fake).backward()
    assert real.grad is None and fake.grad is None
    assert any(p.grad is not None and p.grad.any() for p in network.parameters())


def test_images_of_different_sizes_have_nothing_between_them() -> None:
    with pytest.raises(UserError, match="here of 8x4 and 6x5 pixels: use --preprocess resize_and_crop, or another"):
        gradient_penalty(linear(1.0, 1), torch.zeros(1, 3, 4, 8), torch.zeros(1, 3, 5, 6))
    large, small_one = ([DiscriminatorOutput(torch.zeros(1, 1, size, 3), [])] for size in (4, 1))
    with pytest.raises(UserError, match="--gan_mode relativistic compares .* sizes differ.*relativistic_average"):
        loss("relativistic").generator_loss(large, small_one)
    assert loss("relativistic_average").generator_loss(large, small_one).isfinite()
