"""The weighted reconstruction terms: only those asked for, masks where a distance knows them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from models.losses.mix import MixOptions, ReconstructionMix

#: need files; tests/models/losses/test_perceptual.py and test_network_distances.py ask the same of them
BY_NETWORKS = ("lambda_VGG", "lambda_LPIPS", "lambda_DINO")
WEIGHTS = [field.name for field in dataclasses.fields(MixOptions) if field.name.startswith("lambda_")]


@pytest.mark.parametrize("name", [name for name in WEIGHTS if name not in BY_NETWORKS])
def test_each_distance_is_none_of_equal_images_grows_with_noise_and_falls_along_its_gradient(name: str) -> None:
    once, twice = (ReconstructionMix(MixOptions(**{"lambda_L1": 0.0, name: weight})) for weight in (1.0, 2.0))
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 4, 4, dtype=torch.float64, generator=random) * 1.6 - 0.8
    target = F.interpolate(coarse, size=(24, 24), mode="bilinear")
    noise = torch.rand(target.shape, dtype=torch.float64, generator=random) - 0.5
    (term,) = once.terms
    costs = [once(target + strength * noise, target)[term].item() for strength in (0.0, 0.1, 0.3)]
    assert costs[0] == pytest.approx(0, abs=1e-12) and costs[0] < costs[1] < costs[2]
    output = (target + 0.3 * noise).requires_grad_(True)
    cost = twice(output, target)[term]
    cost.backward()
    assert cost.item() == pytest.approx(2 * costs[2])
    assert output.grad is not None
    closer = output.detach() - 1e-3 * output.grad / output.grad.norm()
    fall = (cost - twice(closer, target)[term]).item()
    assert fall == pytest.approx(1e-3 * output.grad.norm().item(), rel=0.6)  # focal weights fall with it


def test_terms_are_weighted_and_leave_masked_pixels_out() -> None:
    output, target = torch.zeros(1, 1, 12, 12), torch.zeros(1, 1, 12, 12)
    target[..., :6] = 1.0
    mask = torch.ones(1, 1, 12, 12)
    mask[..., :6] = 0
    weights = {"lambda_L1": 3.0, "lambda_MSE": 5.0, "lambda_charbonnier": 1.0, "lambda_SSIM": 2.0}
    mix = ReconstructionMix(MixOptions(**weights, lambda_log_depth=1.0))
    plain, masked = mix(output, target), mix(output, target, mask)
    assert (plain["G_L1"].item(), plain["G_MSE"].item()) == (1.5, 2.5)
    assert all(value.item() == pytest.approx(0, abs=1e-6) for value in masked.values()) and plain["G_SSIM"] > 0


@pytest.mark.parametrize("name", [name for name in WEIGHTS if name not in BY_NETWORKS])
def test_what_is_there_in_masked_pixels_makes_no_difference(name: str) -> None:
    mix, mask = ReconstructionMix(MixOptions(**{"lambda_L1": 0.0, name: 1.0})), torch.ones(2, 1, 24, 24)
    mask[..., 5:15, 3:12] = 0
    output, target = torch.rand(2, 3, 24, 24), torch.rand(2, 3, 24, 24)
    spoiled = [torch.where(mask > 0, image, float("nan")).requires_grad_(True) for image in (output, target)]
    ((_, cost),) = mix(*spoiled, mask).items()
    cost.backward()
    torch.testing.assert_close({name: cost}, {name: mix(output, target, mask).popitem()[1]})
    gradient = spoiled[0].grad
    assert gradient is not None and gradient.isfinite().all() and not gradient[:, :, 5:15, 3:12].any()


def test_a_weight_of_zero_builds_nothing() -> None:
    assert list(ReconstructionMix(MixOptions(lambda_L1=0.0, lambda_frequency=1.0)).terms) == ["G_frequency"]
    assert not ReconstructionMix(MixOptions(lambda_L1=0.0)).terms
