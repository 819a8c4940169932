"""Intervals cover the true mean as often as they say, narrow with the root of the count, and repeat."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation.bootstrap import interval, intervals


def test_intervals_cover_the_true_mean() -> None:
    random = np.random.default_rng(0)
    ends = [interval(random.normal(5, 2, 40)) for _ in range(200)]
    covered = sum(low <= 5 <= high for low, high in ends)
    assert 175 <= covered <= 198, "about 95 % of 200"


def test_they_narrow_with_the_root_of_the_count_and_repeat() -> None:
    values = np.random.default_rng(1).normal(0, 1, 1600)
    (low, high), (few_low, few_high) = interval(values), interval(values[:100])
    assert (few_high - few_low) / (high - low) == pytest.approx(4, rel=0.25)
    assert interval(values) == (low, high) and low < values.mean() < high


def test_what_has_no_value_is_left_out_and_few_images_have_none() -> None:
    rows = [{"psnr": 20.0 + n, "rmse": 3.0, "lpips": math.nan} for n in range(9)] + [{"psnr": math.inf, "rmse": 0.0}]
    found = intervals(rows)
    assert set(found) == {"psnr", "rmse"}
    assert 20 <= found["psnr"][0] < 24 < found["psnr"][1] <= 28
    assert found["rmse"][0] < math.sqrt(8.1) <= found["rmse"][1] == 3.0
    assert intervals(rows[:2]) == {}
