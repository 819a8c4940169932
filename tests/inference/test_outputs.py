"""Network output -> file values."""

from __future__ import annotations

import numpy as np
import torch

from data.value_range import ValueRange
from inference.outputs import stretch, to_file_values


def test_every_eight_bit_value_survives_the_round_trip() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    full = ValueRange(0.0, 255.0)
    tensor = torch.from_numpy(full.normalize(values)).permute(2, 0, 1)
    assert np.array_equal(to_file_values(tensor, full, "uint8"), values)


def test_every_sixteen_bit_value_survives_the_round_trip() -> None:
    values = np.arange(65536).astype(np.uint16).reshape(256, 256, 1)
    for span in (ValueRange(0.0, 65535.0), ValueRange(-5.0, 70000.0)):
        tensor = torch.from_numpy(span.normalize(values)).permute(2, 0, 1)
        assert np.array_equal(to_file_values(tensor, span, "uint16"), values)


def test_values_beyond_the_dtype_are_clipped_not_wrapped() -> None:
    tensor = torch.tensor([-1.0, 1.0]).reshape(1, 1, 2)
    assert to_file_values(tensor, ValueRange(-50.0, 300.0), "uint8").ravel().tolist() == [0, 255]


def test_the_aspect_ratio_is_width_over_height() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    assert stretch(image, 1.0) is image
    assert stretch(image, 2.0).shape == (20, 60, 3)
    assert stretch(image, 0.5).shape == (40, 30, 3)
    assert stretch(image[..., :1], 2.0).shape == (20, 60, 1)
