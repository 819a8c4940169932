"""Stored images become the floats they always were, on the device, one batch ahead."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from data.collate import Failure, collate, emptied
from data.transfer import _one_ahead, as_float, as_floats, prefetch, to_device
from data.value_range import ValueRange

CPU = torch.device("cpu")
BYTES = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
RANGE = ValueRange(0, 255)


@pytest.mark.parametrize("value_range", [RANGE, ValueRange(16, 235), ValueRange(-3.5, 1000.25)])
def test_bytes_become_floats_in_float32_arithmetic(value_range: ValueRange) -> None:
    scale = torch.tensor(2.0 / (value_range.high - value_range.low), dtype=torch.float32)
    shift = torch.tensor(-1.0 - value_range.low * (2.0 / (value_range.high - value_range.low)), dtype=torch.float32)
    assert torch.equal(as_float(BYTES, value_range), BYTES.float() * scale + shift)
    exact = torch.from_numpy(value_range.normalize(BYTES.numpy()))
    assert (as_float(BYTES, value_range) - exact).abs().max() <= 3e-7 * max(1.0, exact.abs().max().item())


def test_only_sides_with_a_range_change() -> None:
    floats, mask = torch.rand(1, 4, 4), torch.ones(1, 4, 4)
    batch = {"A": BYTES, "A_range": RANGE, "B": floats, "B_mask": mask, "names": ["x"], "total": 1}
    moved = to_device(batch, CPU)
    assert moved.keys() == {"A", "B", "B_mask", "names", "total"}
    assert moved["A"].dtype == torch.float32 and moved["A"].min() == -1 and moved["A"].max() == 1
    assert moved["B"] is floats and moved["names"] == ["x"] and batch["A"].dtype == torch.uint8


def test_batches_stay_bytes_when_all_samples_are_and_else_become_floats() -> None:
    def stored() -> dict[str, Any]:
        return {"A": BYTES, "A_range": RANGE, "A_paths": "a.png"}

    batch = collate([stored(), stored()])
    assert not isinstance(batch, Failure)
    assert batch["A"].dtype == torch.uint8 and batch["A"].shape == (2, 1, 16, 16) and batch["A_range"] == RANGE
    none = emptied(batch)
    assert not isinstance(none, Failure) and as_floats(none)["A"].shape == (0, 1, 16, 16)
    floats = {"A": torch.full((1, 16, 16), 0.5), "A_paths": "b.tif"}
    for other in (floats, stored() | {"A_range": ValueRange(0, 100)}):
        mixed = collate([stored(), other])
        assert not isinstance(mixed, Failure)
        assert torch.equal(mixed["A"][0], as_float(BYTES, RANGE)) and "A_range" not in mixed
        assert torch.equal(mixed["A"][1], as_floats(other)["A"])


def test_masks_of_stored_images_are_floats() -> None:
    masked = {"A": BYTES, "A_range": RANGE, "A_mask": torch.zeros(1, 16, 16)}
    batch = collate([{"A": BYTES, "A_range": RANGE}, masked])
    assert not isinstance(batch, Failure)
    assert batch["A_mask"].dtype == torch.float32 and batch["A_mask"].mean() == 0.5


def test_on_the_cpu_nothing_is_made_ahead() -> None:
    made: list[int] = []

    def batches() -> Iterator[dict[str, Any]]:
        for number in range(3):
            made.append(number)
            yield {"A": BYTES, "A_range": RANGE, "number": number}

    got = prefetch(batches(), CPU)
    assert next(iter(got))["number"] == 0 and made == [0]


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for a GPU's streams."""
    monkeypatch.setattr("torch.cuda.Stream", lambda device: None)
    monkeypatch.setattr("torch.cuda.stream", contextlib.nullcontext)
    monkeypatch.setattr("data.transfer._wait", lambda batch, device, copies: batch)


def test_one_batch_is_made_ahead_and_errors_wait_for_their_turn(streams: None) -> None:
    made: list[int] = []

    def batches() -> Iterator[dict[str, Any]]:
        for number in range(2):
            made.append(number)
            yield {"number": number}
        raise OSError("damaged")

    ahead = _one_ahead(batches(), CPU)
    assert next(ahead)["number"] == 0 and made == [0, 1]
    assert next(ahead)["number"] == 1
    with pytest.raises(OSError, match="damaged"):
        next(ahead)
    assert list(_one_ahead(iter([]), CPU)) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_values_are_the_same_bits() -> None:
    device = torch.device("cuda")
    batches = [{"A": torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), "A_range": RANGE} for _ in range(5)]
    pinned = [{name: v.pin_memory() if torch.is_tensor(v) else v for name, v in b.items()} for b in batches]
    for ours, plain in zip(prefetch(pinned, device), batches, strict=True):
        assert torch.equal(ours["A"].cpu(), as_floats(plain)["A"])
