"""The best validation so far."""

from __future__ import annotations

import math
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.best import Best, describe_best, write_best
from training.loggers import Position


@pytest.mark.parametrize(
    ("metric", "better", "worse"),
    [("psnr", 30, 20), ("ssim", 0.9, 0.8), ("rmse", 1, 2), ("mae", 1, 2), ("lpips", 0.1, 0.2), ("psnr", math.inf, 40)]
    + [(metric, 0.9, 0.8) for metric in ("ms_ssim", "ssim_y", "accuracy")],
)
def test_each_metric_has_its_direction(metric: str, better: float, worse: float) -> None:
    best = Best(metric)
    assert best.observe(best.cost({metric: worse}))
    assert best.observe(best.cost({metric: better}))
    assert not best.observe(best.cost({metric: worse}))


def test_what_could_not_be_measured_is_never_the_best() -> None:
    best = Best("psnr")
    assert not best.observe(best.cost({"psnr": math.nan}))
    assert not best.observe(best.cost({"ssim": 1.0}))
    assert not best.is_known
    assert best.observe(best.cost({"psnr": 1.0})) and best.is_known


@given(st.lists(st.floats(0, 40), min_size=1, max_size=30), st.integers(1, 5), st.data())
def test_patience_counts_the_same_wherever_the_run_is_resumed(
    values: list[float], patience: int, data: st.DataObject
) -> None:
    whole = Best("psnr", patience)
    stopped = [whole.is_exhausted for value in values if whole.observe(whole.cost({"psnr": value})) or True]
    expected = [k for k in range(len(values)) if k - values.index(max(values[: k + 1])) >= patience]
    assert [k for k, is_over in enumerate(stopped) if is_over] == expected

    cut = data.draw(st.integers(0, len(values)))
    first, second = Best("psnr", patience), Best("psnr", patience)
    for value in values[:cut]:
        first.observe(first.cost({"psnr": value}))
    second.load_state_dict(first.state)
    for value in values[cut:]:
        second.observe(second.cost({"psnr": value}))
    assert second.state == whole.state


def test_the_best_of_another_metric_does_not_count() -> None:
    psnr, rmse = Best("psnr"), Best("rmse")
    psnr.observe(psnr.cost({"psnr": 30.0}))
    rmse.load_state_dict(psnr.state)
    assert rmse.observe(rmse.cost({"rmse": 5.0}))


def test_the_file_says_what_the_best_weights_are(tmp_path: pathlib.Path) -> None:
    assert describe_best(tmp_path) == ""
    write_best(tmp_path, Position(12, 400, 4800, 4800), "psnr", 24.123, averaged=True)
    assert describe_best(tmp_path) == "best: epoch 12, psnr 24.12 on the val split, averaged weights"
    (tmp_path / "best.json").write_text("[]")
    assert describe_best(tmp_path) == ""
