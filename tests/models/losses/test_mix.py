"""The weighted reconstruction terms: only those asked for, masks where a distance knows them."""

from __future__ import annotations

import torch

from models.losses.mix import MixOptions, ReconstructionMix


def test_terms_are_weighted_and_those_by_pixel_leave_masked_pixels_out() -> None:
    output, target = torch.zeros(1, 1, 12, 12), torch.zeros(1, 1, 12, 12)
    target[..., :6] = 1.0
    mask = torch.ones(1, 1, 12, 12)
    mask[..., :6] = 0
    weights = {"lambda_L1": 3.0, "lambda_MSE": 5.0, "lambda_charbonnier": 1.0, "lambda_SSIM": 2.0}
    mix = ReconstructionMix(MixOptions(**weights, lambda_log_depth=1.0))
    plain, masked = mix(output, target), mix(output, target, mask)
    assert (plain["G_L1"].item(), plain["G_MSE"].item()) == (1.5, 2.5)
    assert all(masked[name].item() == 0 for name in ("G_L1", "G_MSE", "G_Charbonnier", "G_log_depth"))
    assert masked["G_SSIM"] == plain["G_SSIM"] > 0


def test_a_weight_of_zero_builds_nothing() -> None:
    assert list(ReconstructionMix(MixOptions(lambda_L1=0.0, lambda_frequency=1.0)).terms) == ["G_frequency"]
    assert not ReconstructionMix(MixOptions(lambda_L1=0.0)).terms
