"""SSIM and MS-SSIM as losses: against torchmetrics, zero for equal images, and their gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as reference_ms_ssim

from models.losses.structure import ms_ssim_loss, ssim_loss
from util.errors import UserError

each_loss = pytest.mark.parametrize("loss", [ssim_loss, ms_ssim_loss])


def pair(height: int = 24, width: int = 30, batch: int = 2) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x = torch.rand(batch, 2, height, width, dtype=torch.float64, generator=random) * 2 - 1
    noise = torch.randn(x.shape, dtype=x.dtype, generator=random)
    return (x + 0.2 * noise).clamp(-1, 1), x


def test_ssim_is_the_mean_over_all_windows_written_out() -> None:
    x, y = pair(13, 12, 1)
    bell = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / 4.5)
    window = bell[:, None] * bell / bell.sum() ** 2
    values = []
    for c, i, j in itertools.product(range(2), range(3), range(2)):
        p, q = (image[0, c, i : i + 11, j : j + 11] + 1 for image in (x, y))  # black is 0
        mean_p, mean_q = (window * p).sum(), (window * q).sum()
        spread = (window * ((p - mean_p) ** 2 + (q - mean_q) ** 2)).sum()
        joint = (window * (p - mean_p) * (q - mean_q)).sum()
        light = (2 * mean_p * mean_q + 0.02**2) / (mean_p**2 + mean_q**2 + 0.02**2)
        values.append(light * (2 * joint + 0.06**2) / (spread + 0.06**2))
    torch.testing.assert_close(ssim_loss(x, y), 1 - torch.stack(values).mean())


def test_ms_ssim_is_that_of_torchmetrics() -> None:
    x, y = pair(192, 200, 1)
    wanted = reference_ms_ssim(x.float() / 2 + 0.5, y.float() / 2 + 0.5, data_range=1.0)
    assert ms_ssim_loss(x, y).item() == pytest.approx(1 - float(wanted), abs=0.005)


@each_loss
def test_grey_is_not_special(loss) -> None:
    """Around the middle of [-1,1] a change of brightness that nobody sees is a small distance, too."""
    grey = torch.zeros(1, 1, 16, 16)
    assert loss(grey + 0.01, grey - 0.01).item() < 0.001


@each_loss
def test_autocast_changes_nothing(loss) -> None:
    x, y = (image.float() / 50 + 0.9 for image in pair())  # hardly any contrast, and bright
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(x, y)
    assert torch.equal(found, loss(x, y))


@each_loss
def test_equal_images_have_no_distance_and_other_ones_more_than_near_ones(loss) -> None:
    x, y = pair(48, 48)
    assert loss(x, x).item() == pytest.approx(0, abs=1e-9)
    assert 0 < loss((x + 9 * y) / 10, y) < loss(x, y) < loss(-y, y) <= 2


@each_loss
def test_gradient_equals_finite_differences(loss) -> None:
    x, y = pair(13, 12, 1)
    assert torch.autograd.gradcheck(lambda image: loss(image, y), x.requires_grad_())


@each_loss
def test_a_batch_is_the_mean_of_its_samples_and_half_precision_is_widened(loss) -> None:
    x, y = pair()
    torch.testing.assert_close(loss(x, y), (loss(x[:1], y[:1]) + loss(x[1:], y[1:])) / 2)
    assert loss(x.half(), y.half()).dtype == torch.float32


@each_loss
def test_images_it_cannot_take_are_refused(loss) -> None:
    with pytest.raises(UserError, match="at least 11x11 pixels, not 30x10"):
        loss(*pair(10, 30))
    with pytest.raises(ValueError, match="differ in shape"):
        loss(pair(12, 12)[0], pair(12, 13)[0])
