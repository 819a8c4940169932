"""MS-SSIM against torchmetrics, and what it does with small, masked and opposite images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from evaluation.metrics import evaluate_pair
from evaluation.structure import multiscale

RNG = np.random.default_rng(5)


def pair(height: int, width: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    real = cv2.GaussianBlur(rng.normal(size=(height, width, channels)), (0, 0), 3).reshape(height, width, channels)
    real = (real - real.min()) / np.ptp(real)
    return (real + rng.normal(0, 0.05, real.shape)).clip(0, 1), real


@pytest.mark.parametrize(("size", "channels"), [((192, 208), 1), ((176, 176), 3)])
def test_ms_ssim_is_torchmetrics(size: tuple[int, int], channels: int) -> None:
    fake, real = pair(*size, channels)
    tensors = [torch.from_numpy(image.transpose(2, 0, 1))[None] for image in (fake, real)]
    expected = float(multiscale_structural_similarity_index_measure(*tensors, data_range=1.0))
    valid = np.ones(size, bool)
    assert multiscale(fake, real, valid)["ms_ssim"] == pytest.approx(expected, abs=5e-5)
    assert 0.3 < expected < 0.999


def test_equal_images_score_one_and_opposite_ones_nothing() -> None:
    _, real = pair(176, 176, 1)
    valid = np.ones((176, 176), bool)
    assert multiscale(real, real, valid)["ms_ssim"] == pytest.approx(1, abs=1e-12)
    assert multiscale(1 - real, real, valid)["ms_ssim"] == 0


def test_unknown_pixels_do_not_count_and_small_images_have_none() -> None:
    fake, real = pair(208, 208, 1)
    hole = (slice(0, 30), slice(0, 30))
    valid = np.ones((208, 208), bool)
    valid[hole] = False
    fake[hole], real[hole] = 0, 0
    spoiled = fake.copy()
    spoiled[:24, :24] = RNG.random((24, 24, 1))
    everywhere = np.ones_like(valid)
    lost = {name: _lost(fake, spoiled, real, mask) for name, mask in (("hole", valid), ("whole", everywhere))}
    assert 0 <= lost["hole"] < lost["whole"] / 2 and lost["whole"] > 2e-3
    row = evaluate_pair(fake[:160, :160], real[:160, :160], (0.0, 1.0))
    assert "ms_ssim" not in row and "ms_ssim" in evaluate_pair(fake, real, (0.0, 1.0))


def _lost(fake: np.ndarray, spoiled: np.ndarray, real: np.ndarray, mask: np.ndarray) -> float:
    return multiscale(fake, real, mask)["ms_ssim"] - multiscale(spoiled, real, mask)["ms_ssim"]
