"""Filled images: whole and hole, by width, beside OpenCV's two ways, in 8 and 16 bit, grey and colour."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from data.protocol import Holes
from data.value_range import ValueRange
from evaluation.holes import simply_filled
from evaluation.measurement import Sample, measurement_for
from evaluation.metrics import MetricTable

BYTE, WORD = ValueRange(0, 255), ValueRange(0, 65535)


class Data:
    protocol = Holes()


def hole(width: int = 8) -> np.ndarray:
    found = np.zeros((64, 80), bool)
    found[20 : 20 + width, 16:60] = True
    return found


def smooth(channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    ramp = np.linspace(0.2, 0.8, 80)[None, :, None] * np.linspace(0.5, 1, 64)[:, None, None]
    return np.rint(ramp.repeat(channels, 2) * np.iinfo(dtype).max).astype(dtype)


def sample(real: np.ndarray, fake: np.ndarray, at: np.ndarray) -> Sample:
    given = np.where(at[..., None], 0, real).astype(real.dtype)
    mask = torch.from_numpy(np.where(at, 1.0, -1.0))[None]
    return Sample({"real_A": given, "fake_B": fake, "real_B": real}, "fake_B", given.astype(float), {"A": mask})


def test_errors_in_the_hole_are_measured_in_the_hole() -> None:
    real, at = smooth(), hole()
    fake = real.copy()
    fake[at] += 5
    row, beside = measurement_for(Data(), BYTE, None).measure(sample(real, fake, at))
    assert row["hole_mae"] == pytest.approx(5) and row["hole_psnr"] == pytest.approx(20 * math.log10(255 / 5))
    assert row["mae"] == pytest.approx(5 * at.mean())
    assert row["hole_psnr_medium"] == row["hole_psnr"] and not {"hole_psnr_wide", "hole_psnr_narrow"} & set(row)
    assert set(beside) == {"telea", "navier stokes"} and all(set(row) == set(other) for other in beside.values())
    assert beside["telea"]["hole_psnr"] > 25, "a smooth image is easy"


def test_classes_have_means_of_their_own() -> None:
    table, real = MetricTable(), smooth()
    for number, (width, error) in enumerate(((3, 1), (40, 7), (40, 9))):
        at = hole(width)
        fake = real.copy()
        fake[at] += error
        measure = measurement_for(Data(), BYTE, lambda a, b, error=error: error)
        table.add(str(number), measure.measure(sample(real, fake, at))[0])
    means = table.summary()
    assert means["hole_psnr_narrow"] == pytest.approx(20 * math.log10(255))
    assert means["hole_psnr_wide"] == pytest.approx(sum(20 * math.log10(255 / e) for e in (7, 9)) / 2)
    assert (means["lpips_narrow"], means["lpips_wide"], means["lpips"]) == (1, 8, pytest.approx(17 / 3))


@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, "uint8"), (3, "uint8"), (4, "uint8"), (1, "uint16"), (3, "uint16")]
)
@pytest.mark.parametrize("way", ["telea", "navier stokes"])
def test_opencv_fills_every_kind_of_file_and_leaves_the_rest(channels: int, dtype: str, way: str) -> None:
    real, at = smooth(channels, dtype), hole()
    given = np.where(at[..., None], 0, real).astype(dtype)
    filled = simply_filled(given, at, way)
    assert filled.dtype == real.dtype and filled.shape == real.shape
    assert np.array_equal(filled[~at], real[~at])
    top = np.iinfo(dtype).max
    assert np.abs(filled.astype(float) - real)[at].mean() < 0.05 * top
    if channels == 3 and dtype == "uint8":
        flag = cv2.INPAINT_TELEA if way == "telea" else cv2.INPAINT_NS
        assert np.array_equal(filled, cv2.inpaint(given, at.astype(np.uint8), 3, flag))


def test_16_bit_counts_in_its_own_range_and_images_without_a_hole_have_no_hole() -> None:
    real = smooth(1, "uint16")
    fake = real.copy()
    fake[hole()] += 655
    row = measurement_for(Data(), WORD, None).measure(sample(real, fake, hole()))[0]
    assert row["hole_psnr"] == pytest.approx(20 * math.log10(65535 / 655), abs=1e-6)
    whole = sample(real, real, np.zeros((64, 80), bool))
    row, beside = measurement_for(Data(), WORD, None).measure(whole)
    assert row["psnr"] == math.inf and "hole_psnr" not in row and beside == {}
    assert "telea" not in measurement_for(Data(), WORD, None).shown(whole)


def test_telea_is_shown_before_the_result() -> None:
    shown = measurement_for(Data(), BYTE, None).shown(sample(smooth(), smooth(), hole()))
    assert list(shown) == ["real_A", "telea", "fake_B", "real_B"]
