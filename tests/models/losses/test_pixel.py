from __future__ import annotations

import pytest
import torch

from models.losses.pixel import charbonnier, l1, mse


def test_values() -> None:
    prediction, target = torch.tensor([[[[1.0, -1.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    assert l1(prediction, target).item() == 1.5
    assert mse(prediction, target).item() == 2.5


@pytest.mark.parametrize("distance", (l1, mse, charbonnier))
def test_masked_pixels_do_not_count_whatever_they_hold(distance) -> None:
    prediction = torch.rand(2, 3, 4, 4, requires_grad=True)
    target = torch.rand(2, 3, 4, 4)
    mask = torch.ones(2, 1, 4, 4)
    mask[:, :, :, 2:] = 0
    wanted = distance(prediction[..., :2], target[..., :2])
    target[..., 2:] = float("nan")
    found = distance(prediction, target, mask)
    torch.testing.assert_close(found, wanted)
    found.backward()
    assert prediction.grad is not None and prediction.grad.isfinite().all()
    assert not prediction.grad[..., 2:].any() and prediction.grad[..., :2].any()


@pytest.mark.parametrize("distance", (l1, mse, charbonnier))
def test_a_batch_is_the_mean_of_its_samples_with_any_mask(distance) -> None:
    prediction, target, mask = torch.rand(3, 2, 5, 5), torch.rand(3, 2, 5, 5), torch.rand(3, 1, 5, 5) > 0.4
    mask[2] = False
    samples = [distance(*(x[i : i + 1] for x in (prediction, target, mask))) for i in range(3)]
    assert samples[2].item() == 0
    torch.testing.assert_close(distance(prediction, target, mask), torch.stack(samples).mean())


def test_charbonnier_is_l1_that_is_smooth_at_zero() -> None:
    near, far = torch.zeros(1, 1, 2, 2, dtype=torch.float64), torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    assert charbonnier(near, near).item() == 0
    assert charbonnier(far, near).item() == pytest.approx((0.25 + 1e-6) ** 0.5 - 1e-3)
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2e-3
    assert torch.autograd.gradcheck(lambda y: charbonnier(y, torch.zeros_like(y)), x.requires_grad_())


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        l1(torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("distance", (l1, mse, charbonnier))
def test_half_precision_is_widened(distance) -> None:
    assert distance(torch.ones(1, 1, 2, 2).bfloat16(), torch.zeros(1, 1, 2, 2)).dtype == torch.float32
