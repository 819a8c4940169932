"""The Fourier transform of exported programs is that of PyTorch, and so is its mirror padding numpy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.networks.fourier import map_of, spectrum_of
from models.networks.mirrored import crop_to, mirror_pad, mirror_up


@pytest.fixture(params=[False, True], ids=["eager", "exporting"])
def exporting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: request.param)
    return request.param


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (6, 9), (1, 1), (2, 3), (64, 250)])
def test_transforms_are_those_of_numpy(exporting: bool, height: int, width: int) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 3, height, width))
    found = spectrum_of(torch.from_numpy(x)).numpy()
    expected = np.fft.rfft2(x, norm="ortho")
    np.testing.assert_allclose(found[:, 0::2] + 1j * found[:, 1::2], expected, atol=1e-12)
    any_spectrum = random.normal(size=found.shape)  # also one that no real map has
    back = map_of(torch.from_numpy(any_spectrum), width).numpy()
    values = any_spectrum[:, 0::2] + 1j * any_spectrum[:, 1::2]
    np.testing.assert_allclose(back, np.fft.irfft2(values, (height, width), norm="ortho"), atol=1e-12)


def test_products_keep_the_digits_of_float32(exporting: bool) -> None:
    x = torch.rand(1, 1, 250, 512, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(spectrum_of(x), spectrum_of(x.double()).float(), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(map_of(spectrum_of(x), 512), x, atol=5e-5, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_a_map_smaller_than_its_padding_is_mirrored_back_and_forth(exporting: bool, size: int) -> None:
    x = torch.arange(2.0 * size * size).view(1, 1, size, 2 * size)
    expected = np.pad(x[0, 0].numpy(), 8, mode="reflect")
    assert np.array_equal(mirror_pad(x, 8)[0, 0].numpy(), expected)


@pytest.mark.parametrize(("height", "width"), [(16, 8), (13, 19), (3, 9)])
def test_sizes_grow_below_and_to_the_right(exporting: bool, height: int, width: int) -> None:
    x = torch.arange(1.0 * height * width).view(1, 1, height, width)
    large = mirror_up(x, 8)
    expected = np.pad(x[0, 0].numpy(), ((0, -height % 8), (0, -width % 8)), mode="reflect")
    assert np.array_equal(large[0, 0].numpy(), expected)
    assert torch.equal(crop_to(large, height, width), x)
