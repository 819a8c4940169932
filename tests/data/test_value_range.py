"""The identity round trip changes no value; ranges are estimated robustly and once."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import torch

from data.sample import Side
from data.transfer import as_floats
from data.transforms import Geometry
from data.value_range import DTYPE_RANGES, ValueRange, as_dtype, estimate_range, parse_spec, resolve_range
from data.writers import FileFormat
from util.errors import UserError

RANGES = [ValueRange(0, 255), ValueRange(0, 65535), ValueRange(-37.5, 70_000.25), ValueRange(100, 4095)]


@pytest.mark.parametrize("value_range", RANGES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_identity_round_trip_changes_no_value(value_range: ValueRange, dtype: str) -> None:
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    normal = value_range.normalize(values)
    assert normal.dtype == np.float32
    np.testing.assert_array_equal(as_dtype(value_range.restore(normal), dtype), values)


@pytest.mark.parametrize("value_range", RANGES)
def test_identity_round_trip_through_a_sample(value_range: ValueRange) -> None:
    for dtype in ("uint8", "uint16"):
        values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1, 1)
        side = Side("--input_nc", 1, value_range, FileFormat(dtype, 1))
        path = pathlib.Path("a.png")
        sample = as_floats(side.place("A", side.prepare(values, path, None), Geometry(), path))
        tensor = sample["A"]
        assert "A_mask" not in sample and tensor.dtype == torch.float32
        np.testing.assert_array_equal(as_dtype(value_range.restore(tensor), dtype)[0], values[..., 0])


def test_dtype_ends_map_to_the_ends() -> None:
    for dtype, (low, high) in DTYPE_RANGES.items():
        ends = ValueRange(low, high).normalize(np.array([low, high], dtype))
        assert ends.tolist() == [-1.0, 1.0]


def test_as_dtype_rounds_and_clips() -> None:
    values = np.array([-3.0, 0.49, 0.51, 254.6, 300.0, np.nan])
    assert as_dtype(values, "uint8").tolist() == [0, 0, 1, 255, 255, 0]
    assert as_dtype(values, "float32").dtype == np.float32


def test_values_beyond_the_range_are_kept_and_nan_takes_the_low_end() -> None:
    normal = ValueRange(0, 10).normalize(np.array([-10.0, 20.0, np.nan, np.inf]))
    assert normal.tolist() == [-3.0, 3.0, -1.0, -1.0]


def test_dictionary_round_trip() -> None:
    assert ValueRange.from_dict(RANGES[2].to_dict()) == RANGES[2]


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_impossible_ranges_raise(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="finite low < high"):
        ValueRange(low, high)


def test_specifications() -> None:
    assert parse_spec("auto") == ("auto", "auto")
    assert parse_spec("dtype/-5,1e3") == ("dtype", ValueRange(-5, 1000))
    for bad in ("most", "5,1", "1", "1,2,3", "nan,1", "auto/auto/auto", ""):
        with pytest.raises(UserError, match="--value_range"):
            parse_spec(bad)


def test_auto_and_dtype_of_eight_bits_read_no_file() -> None:
    for spec in ("auto", "dtype"):
        assert resolve_range(spec, "uint8", lambda: pytest.fail("read")) == ValueRange(0, 255)
    assert resolve_range("dtype", "uint16", lambda: pytest.fail("read")) == ValueRange(0, 65535)


def test_estimate_pools_images_and_ignores_outliers_and_nan() -> None:
    rng = np.random.default_rng(0)
    images = [rng.uniform(low, low + 100, (64, 64, 1)).astype(np.float32) for low in (200, 300)]
    images[0][0, 0], images[1][3, 3] = np.nan, 1e9
    found = estimate_range(images, "float32")
    assert 185 < found.low < 200 and 400 < found.high < 415


def test_estimate_stays_within_the_dtype_and_survives_flat_images() -> None:
    assert estimate_range([np.full((4, 4, 1), 65535, np.uint16)], "uint16") == ValueRange(65534.5, 65535)
    wide = estimate_range([np.array([[[0], [65535]]], np.uint16)], "uint16")
    assert wide == ValueRange(0, 65535)
    with pytest.raises(UserError, match="MIN,MAX"):
        estimate_range([np.full((2, 2, 1), np.nan, np.float32)], "float32")


def test_training_images_of_which_none_can_be_read_are_one_line() -> None:
    with pytest.raises(UserError, match="--value_range MIN,MAX"):
        estimate_range([], "uint16")
