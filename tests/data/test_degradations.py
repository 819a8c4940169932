from __future__ import annotations

import math

import numpy as np
import pytest

from data.blur_kernels import BlurRange, draw_kernel, draw_sinc, gaussian_kernel, sinc_kernel, squared_distance
from data.damage import blurred, resized, sharpened, through_jpeg, with_gaussian_noise, with_poisson_noise
from data.degradations import make_degradation


def _response(kernel: np.ndarray, frequency: float) -> float:
    """Return how much of a wave along x, in radians a pixel, the kernel lets through."""
    axis = np.arange(len(kernel)) - len(kernel) // 2
    return float((kernel * np.cos(frequency * axis)[None, :]).sum())


def test_a_sinc_kernel_lets_low_frequencies_through_and_no_high_ones() -> None:
    kernel = sinc_kernel(21, math.pi / 2)
    assert kernel.sum() == pytest.approx(1) and (kernel < 0).any() and np.allclose(kernel, kernel.T)
    assert _response(kernel, 0.5) == pytest.approx(1, abs=0.1) and abs(_response(kernel, 2.6)) < 0.1


def test_a_gaussian_has_the_widths_it_was_given() -> None:
    kernel = gaussian_kernel(21, 1.0, 2.0, math.pi / 2)
    axis = np.arange(21) - 10
    variances = [(kernel.sum(side) * axis**2).sum() for side in (1, 0)]
    assert variances == pytest.approx([1.0, 4.0], rel=0.01)
    assert squared_distance(3, 2.0, 2.0, 0.3)[1].tolist() == pytest.approx([0.25, 0, 0.25])


def test_drawn_kernels_are_odd_positive_in_sum_and_varied() -> None:
    random = np.random.default_rng(0)
    kernels = [draw_kernel(BlurRange((0.2, 3.0)), random) for _ in range(60)] + [draw_sinc(random) for _ in range(9)]
    assert {len(kernel) for kernel in kernels} == set(range(7, 22, 2))
    assert all(kernel.sum() == pytest.approx(1) and np.isfinite(kernel).all() for kernel in kernels)
    assert min(kernel.max() for kernel in kernels) < 0.03 and max(kernel.max() for kernel in kernels) > 0.8


def test_noise_has_the_strength_it_was_given() -> None:
    random, flat = np.random.default_rng(0), np.full((128, 128, 3), 0.5, np.float32)
    noisy = with_gaussian_noise(flat, 12, False, random)
    grey = with_gaussian_noise(flat, 12, True, random)
    assert noisy.std() * 255 == pytest.approx(12, rel=0.05) and (grey == grey[..., :1]).all()
    ramp = np.repeat(np.linspace(0.1, 0.9, 128, dtype=np.float32)[None, :, None], 128, 0)
    photons = with_poisson_noise(ramp, 1.0, False, random) - np.rint(ramp * 255) / 255
    # 103 levels make 128 photons at full intensity
    assert photons[:, 100:].std() == pytest.approx(math.sqrt(0.81 / 128), rel=0.15)
    assert photons[:, 100:].std() > 1.8 * photons[:, :20].std()


def test_jpeg_loses_more_at_low_quality_and_keeps_colours() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    image = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 0.3), 2) + 0.1 * np.sin(
        np.arange(64)[:, None, None]
    )
    image = image.clip(0, 1).astype(np.float32)
    losses = [float(np.abs(through_jpeg(image, quality) - image).mean()) for quality in (20, 90)]
    assert losses[1] < losses[0] < 0.08 and losses[1] < 0.03
    assert through_jpeg(image[..., :1], 90).shape == (64, 64, 1)


def test_sharpening_steepens_edges_and_leaves_flat_parts() -> None:
    step = np.full((80, 120, 1), 0.3, np.float32)
    step[:, 60:] = 0.7
    sharp = sharpened(step)
    assert sharp[40, 59, 0] < 0.25 and sharp[40, 60, 0] > 0.75 and abs(sharp[40, 0, 0] - 0.3) < 1e-3


def test_shapes_of_one_channel_are_kept() -> None:
    image, random = np.zeros((8, 9, 1), np.float32), np.random.default_rng(0)
    assert blurred(image, gaussian_kernel(7, 1, 1, 0)).shape == (8, 9, 1)
    assert resized(image, 3, 4, random).shape == (3, 4, 1) and sharpened(image).shape == (8, 9, 1)


@pytest.mark.parametrize("name", ["blur_noise", "real_esrgan"])
def test_surroundings_lie_on_the_grid_and_in_the_image(name: str) -> None:
    degrade = make_degradation(name, 3)
    assert degrade is not None
    for box in ((0, 0, 12, 12), (90, 30, 12, 12), (60, 60, 48, 60)):
        top, left, height, width = degrade.around((120, 120), box)
        assert top % 3 == left % 3 == height % 3 == width % 3 == 0
        assert 0 <= top <= box[0] and box[0] + box[2] <= top + height <= 120
        large = np.random.default_rng(0).integers(0, 65536, (height, width, 3), np.uint16)
        inner = (box[0] - top, box[1] - left, *box[2:])
        small, target = degrade(large, inner, np.random.default_rng(0), (0.0, 65535.0), sharpen=False)
        assert small.dtype == target.dtype == np.uint16 and small.shape == (box[2] // 3, box[3] // 3, 3)
        y, x, h, w = inner
        assert (target == large[y : y + h, x : x + w]).all()
