"""The scale-invariant distance of logarithms: values by hand, invariance, masks and gradient."""

from __future__ import annotations

import math

import pytest
import torch

from models.losses.log_depth import scale_invariant_log


def depth(*values: float) -> torch.Tensor:
    """Return an image whose depths in [0,1], the offset included, are these."""
    return (torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1) - 0.01) * 2 - 1


def test_values_by_hand() -> None:
    first, second = depth(0.2, 0.8), depth(0.1, 0.1)
    a, b = math.log(2), math.log(8)
    assert scale_invariant_log(first, second).item() == pytest.approx((a * a + b * b) / 2 - 0.5 * ((a + b) / 2) ** 2)
    assert scale_invariant_log(first, second, invariance=0).item() == pytest.approx((a * a + b * b) / 2)
    assert scale_invariant_log(first, first).item() == 0


def test_a_common_factor_costs_nothing_where_it_shall_not() -> None:
    first = depth(0.1, 0.2, 0.4)
    assert scale_invariant_log(first, depth(0.2, 0.4, 0.8), invariance=1).item() == pytest.approx(0, abs=1e-12)
    assert scale_invariant_log(first, depth(0.2, 0.4, 0.8)).item() == pytest.approx(0.5 * math.log(2) ** 2)


def test_masked_pixels_may_hold_anything() -> None:
    first, second = depth(0.2, 0.5, 0.8), depth(0.1, float("nan"), 0.1)
    mask = torch.tensor([1.0, 0.0, 1.0]).reshape(1, 1, 1, 3)
    first.requires_grad_()
    value = scale_invariant_log(first, second, mask)
    assert value.item() == pytest.approx(scale_invariant_log(depth(0.2, 0.8), depth(0.1, 0.1)).item())
    (gradient,) = torch.autograd.grad(value, first)
    assert gradient.isfinite().all() and gradient[0, 0, 0, 1] == 0
    assert scale_invariant_log(first, second, torch.zeros(1, 1, 1, 3)).item() == 0


def test_values_below_the_range_are_depth_0_and_the_gradient_is_right() -> None:
    assert scale_invariant_log(torch.full((1, 1, 2, 2), -3.0), torch.full((1, 1, 2, 2), -1.0)).item() == 0
    random = torch.Generator().manual_seed(0)
    first, second = (torch.rand(2, 2, 3, 3, generator=random, dtype=torch.float64) * 1.8 - 0.9 for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: scale_invariant_log(x, second), first.requires_grad_())
    with pytest.raises(ValueError, match="differ in shape"):
        scale_invariant_log(first, second[:, :1])
