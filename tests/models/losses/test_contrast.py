"""The contrast of patches: its value by hand, its gradient, and what makes it small."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from models.losses.contrast import patch_nce


def vectors(seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(2, 5, 4, dtype=torch.float64, generator=random), dim=2)


def test_orthogonal_patches_that_find_their_own_cost_what_is_computed_by_hand() -> None:
    same = torch.eye(4)[None].repeat(3, 1, 1)
    assert patch_nce(same, same, 0.5).item() == pytest.approx(math.log1p(3 * math.exp(-2)))
    assert patch_nce(same, same).item() < 1e-5
    assert patch_nce(same.roll(1, 1), same).item() == pytest.approx(1 / 0.07, rel=1e-3), "each finds a neighbour's"
    assert patch_nce(torch.ones(1, 4, 2), torch.ones(1, 4, 2)).item() == pytest.approx(math.log(4))


def test_patches_are_compared_within_their_image_and_the_mean_is_over_images() -> None:
    query, key = vectors(0), vectors(1)
    alone = [patch_nce(query[i : i + 1], key[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(patch_nce(query, key), torch.stack(alone).mean())


def test_gradients_are_right_and_spare_the_keys() -> None:
    query, key = vectors(0).requires_grad_(True), vectors(1).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: patch_nce(x, key, 0.5), (query,))
    patch_nce(query, key).backward()
    assert key.grad is None
