"""The focal frequency loss: by hand, zero for equal images, and its gradient."""

from __future__ import annotations

import pytest
import torch

from models.losses.frequency import focal_frequency_loss


def images() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    shape = (2, 2, 5, 6)
    return torch.rand(shape, dtype=torch.float64, generator=random), torch.rand(
        shape, dtype=torch.float64, generator=random
    )


def test_without_focus_it_is_the_mean_squared_error_and_equal_images_have_none() -> None:
    x, y = images()
    torch.testing.assert_close(focal_frequency_loss(x, y, alpha=0), (x - y).square().mean())
    assert focal_frequency_loss(x, x).item() == 0
    assert torch.isfinite(torch.autograd.grad(focal_frequency_loss(x.requires_grad_(), x.detach()), x)[0]).all()


def test_a_single_wave_weighs_its_own_frequency_alone() -> None:
    wave = torch.cos(2 * torch.pi * torch.arange(8) / 8).repeat(8, 1)[None, None]
    found = focal_frequency_loss(wave, torch.zeros_like(wave))  # two frequencies, both the worst: nothing is lost
    assert found.item() == pytest.approx(wave.square().mean().item(), rel=1e-5)
    weak = wave + 0.1 * wave.transpose(2, 3)
    assert focal_frequency_loss(weak, torch.zeros_like(wave)).item() == pytest.approx(0.5 + 0.1 * 0.005, rel=1e-4)


def test_gradient_is_that_with_fixed_weights() -> None:
    x, y = images()
    difference = torch.fft.fft2(x - y, norm="ortho")
    weights = difference.abs() / difference.abs().amax((2, 3), keepdim=True)

    def fixed(image: torch.Tensor) -> torch.Tensor:
        return (weights * torch.fft.fft2(image - y, norm="ortho").abs().square()).mean()

    assert torch.autograd.gradcheck(fixed, x.requires_grad_())
    wanted, found = (torch.autograd.grad(loss(x), x)[0] for loss in (fixed, lambda z: focal_frequency_loss(z, y)))
    torch.testing.assert_close(found, wanted)


def test_samples_are_judged_one_by_one() -> None:
    x, y = images()
    parts = [focal_frequency_loss(x[i : i + 1], y[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(focal_frequency_loss(x, y), sum(parts) / 2)
    with pytest.raises(ValueError, match="differ in shape"):
        focal_frequency_loss(x, y[..., 1:])
