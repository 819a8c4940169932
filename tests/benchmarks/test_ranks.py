"""The benchmark of several processes shares every batch, and tells what it measured."""

from __future__ import annotations

import pytest

from benchmarks import ranks
from training.ranks import Ranks


def test_a_turn_of_each_kind_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "SIDE", 32)
    words = ["--model", "pix2pix", "--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4"]
    found = ranks.measure(ranks.Work(tuple(words), 2), Ranks(), rounds=2)
    assert {name: len(times) for name, times in found["wall"].items()} == {"one": 2, "two": 2, "sum": 2}
    assert all(seconds > 0 for name in ("one", "two") for seconds in found["used"][name])
    assert found["bytes"] > 4 * 30_000  # the weights of a generator of 32,171, and of a discriminator


def test_a_row_holds_medians_and_the_ratio_of_neighbouring_turns() -> None:
    times = {"one": [3.0, 4.0, 8.0], "two": [2.0, 2.0, 2.0], "sum": [0.5, 0.25, 0.25]}
    found = {"wall": times, "used": {"one": [3.0, 3.0, 3.0], "two": [3.5, 3.5, 3.5]}, "bytes": 8_000_000}
    line = ranks.row("it", ranks.Work((), 4), found | {"used": found["used"] | {"sum": [0.0]}})
    assert line == ["it, batch 4", "4.00", "2.00", "2.00x", "3.00", "3.50", "0.25 for 8 MB"]
