"""A smooth continuation into holes takes its values from around them, and leaves everything else alone."""

from __future__ import annotations

import pytest
import torch

from models.networks.holes import continue_smoothly


def hole(height: int, width: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., 2 : height - 3, 4 : width - 2] = 1.0
    return mask


@pytest.mark.parametrize("size", [(16, 16), (17, 23), (1, 9), (64, 40)])
def test_known_pixels_stay_and_holes_lie_between_them(size: tuple[int, int]) -> None:
    mask, image = hole(*size), torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    image = torch.where(mask > 0, float("nan"), image)
    filled, known = continue_smoothly(image, mask), (mask == 0).expand_as(image)
    assert torch.equal(filled[known], image[known])
    assert image[known].min() <= filled.min() and filled.max() <= image[known].max()


def test_a_ramp_goes_on() -> None:
    ramp = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 24:40, 24:40] = 1.0
    found = continue_smoothly(ramp, mask)
    assert (found - ramp).abs().max() < 0.2 and (found[..., 32, 38] > found[..., 32, 25]).all()


def test_a_hole_without_a_border_is_grey() -> None:
    assert not continue_smoothly(torch.ones(1, 3, 8, 8), torch.ones(1, 1, 8, 8)).any()
