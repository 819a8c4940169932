"""Discriminators that know the holes, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.losses import GAN_MODES
from models.losses.holes import feature_distance, softened, total_variation
from models.networks.outputs import DiscriminatorOutput


def outputs(values: list[list[float]], features: list[Tensor] | None = None) -> list[DiscriminatorOutput]:
    logits = torch.tensor(values, dtype=torch.float64)[None, None]
    return [DiscriminatorOutput(logits.requires_grad_(True), features or [])]


def loss(mode: str, **values: float):
    return GAN_MODES.get(mode)(GAN_MODES.options(mode)(**values))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_patches_without_a_hole_are_real() -> None:
    hole = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    hole[..., :2, 2:] = 1
    real, fake = outputs([[0.5]]), outputs([[1.0, 2.0], [3.0, 4.0]])
    D_real, D_fake = loss("hole_patches").discriminator_loss(real, fake, hole)
    assert D_real.item() == pytest.approx(softplus(-0.5))
    assert D_fake.item() == pytest.approx((softplus(-1) + softplus(2) + softplus(-3) + softplus(-4)) / 4)
    everywhere = loss("hole_patches").generator_loss(fake, hole)
    assert everywhere.item() == pytest.approx(sum(softplus(-x) for x in (1, 2, 3, 4)) / 4)


def test_r1_is_the_squared_slope_of_the_sum_of_logits_at_real_images_alone() -> None:
    real, fake = torch.rand(2, 3, 4, 4, dtype=torch.float64), torch.full((2, 3, 4, 4), float("nan"))
    penalty = loss("hole_patches", hole_R1=0.5).penalty(lambda x: [DiscriminatorOutput(3 * x, [])], real, fake)
    assert penalty.item() == pytest.approx(0.5 * 9 * 48)
    assert loss("hole_patches", hole_R1=0.0).penalty(lambda x: [], real, fake) is None


def test_the_soft_mask_is_what_the_discriminator_should_find() -> None:
    hole = torch.zeros(2, 1, 16, 16, dtype=torch.float64)
    hole[:, :, 4:12, 4:12] = 1
    adversarial = loss("soft_mask", soft_mask_size=5, soft_mask_sigma=1.0)
    soft = softened(hole, 5, 1.0)
    perfect = [DiscriminatorOutput(1 - soft, [])]
    assert adversarial.discriminator_loss(perfect, perfect, hole)[1].item() == pytest.approx(0)
    assert soft[0, 0, 8, 8] == pytest.approx(1) and soft[0, 0, 0, 0] == 0 and 0 < soft[0, 0, 4, 4] < 1
    assert torch.allclose(softened(torch.ones_like(hole), 71, 10.0), torch.ones_like(hole)), "also at the border"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = softened(hole.float(), 5, 1.0)
    assert torch.equal(under_autocast, softened(hole.float(), 5, 1.0)), "autocast does not round it"
    logits = torch.where(hole > 0, 0.0, 9.0)
    assert adversarial.generator_loss([DiscriminatorOutput(logits, [])], hole).item() == pytest.approx(1)


def test_logits_of_another_size_are_enlarged_to_the_mask() -> None:
    hole = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    hole[..., 8, 8] = 1
    values = [[0.0, 0.0], [0.0, 3.0]]
    assert loss("soft_mask").generator_loss(outputs(values), hole).item() == pytest.approx(4)


def test_a_patch_with_several_logits_costs_their_mean() -> None:
    hole = torch.zeros(1, 1, 8, 8)
    hole[..., 2:6, 2:6] = 1
    one, several = ([DiscriminatorOutput(torch.full((1, count, 2, 2), 3.0), [])] for count in (1, 5))
    adversarial = loss("soft_mask")
    for given in (hole, None):
        alone = adversarial.generator_loss(one, given), *adversarial.discriminator_loss(one, one, given)
        together = adversarial.generator_loss(several, given), *adversarial.discriminator_loss(several, several, given)
        torch.testing.assert_close(together, alone)


def test_features_are_compared_by_squares_and_pull_only_the_fake() -> None:
    ours, theirs = torch.zeros(1, 2, requires_grad=True), torch.full((1, 2), 3.0, requires_grad=True)
    distance = feature_distance(outputs([[0.0]], [ours, ours]), outputs([[0.0]], [theirs, ours]))
    assert distance.item() == pytest.approx(4.5)
    distance.backward()
    assert ours.grad is not None and theirs.grad is None


def test_total_variation_of_a_ramp() -> None:
    ramp = torch.arange(4.0).expand(1, 1, 3, 4)
    assert total_variation(ramp).item() == 1.0 and total_variation(torch.ones(1, 1, 3, 4)).item() == 0
