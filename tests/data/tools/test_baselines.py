"""Trivial predictions, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from data.tools.baselines import baseline_rmse, pairs_of
from data.tools.demo_sem_depth import Settings, write_dataset
from data.writers import write_image
from util.errors import UserError


def save(folder, images):
    paths = []
    for i, image in enumerate(images):
        paths.append(folder / f"{i}{'.tif' if image.dtype == np.float32 else '.png'}")
        write_image(paths[-1], image)
    return paths


def test_the_mean_map_by_hand(tmp_path):
    rng = np.random.default_rng(0)
    a = save(tmp_path / "a", [rng.integers(0, 255, (8, 9), np.uint8) for _ in range(4)])
    targets = [rng.integers(0, 65535, (8, 9), np.uint16) for _ in range(4)]
    pairs = list(zip(a, save(tmp_path / "b", targets), strict=True))
    expected = np.sqrt(((np.mean(targets[:3], axis=0) - targets[3]) ** 2).mean())
    assert baseline_rmse(pairs[:3], pairs[3:])["mean_map_rmse"] == pytest.approx(expected)


def test_a_function_of_intensity_is_regressed_exactly(tmp_path):
    rng = np.random.default_rng(0)
    sources = [rng.integers(0, 256, (16, 16), np.uint8) for _ in range(6)]
    targets = [(1000 + 40.0 * s.astype(np.uint16)).astype(np.uint16) for s in sources]
    pairs = list(zip(save(tmp_path / "a", sources), save(tmp_path / "b", targets), strict=True))
    figures = baseline_rmse(pairs[:5], pairs[5:])
    assert figures["intensity_regression_rmse"] < 5 < 1000 < figures["mean_map_rmse"]


def test_missing_values_and_unequal_sizes(tmp_path):
    small, large = np.ones((4, 4), np.float32), np.full((6, 4), 3.0, np.float32)
    small[0, 0] = np.nan
    a = save(tmp_path / "a", [np.zeros((4, 4), np.uint8), np.zeros((6, 4), np.uint8)])
    b = save(tmp_path / "b", [small, large])
    pairs = list(zip(a, b, strict=True))
    figures = baseline_rmse(pairs, pairs)
    mean = (15 * 1 + 24 * 3) / 39
    expected = np.sqrt((15 * (mean - 1) ** 2 + 24 * (mean - 3) ** 2) / 39)
    assert figures["mean_map_rmse"] == pytest.approx(expected)
    assert figures["intensity_regression_rmse"] == pytest.approx(expected)


def test_colour_targets(tmp_path):
    target = np.zeros((4, 4, 3), np.uint8)
    target[..., 1] = 100
    a, b = save(tmp_path / "a", [np.zeros((4, 4), np.uint8)]), save(tmp_path / "b", [target])
    assert baseline_rmse([(a[0], b[0])], [(a[0], b[0])]) == {"mean_map_rmse": 0.0, "intensity_regression_rmse": 0.0}


def test_the_demo_is_not_solved_by_intensity(tmp_path):
    write_dataset(tmp_path, Settings(count=24, size=48))
    train, test = (pairs_of(tmp_path / p / "sem", tmp_path / p / "depth") for p in ("train", "test"))
    assert (len(train), len(test)) == (48, 8)
    figures = baseline_rmse(train, test)
    assert figures["mean_map_rmse"] > 3000 and figures["intensity_regression_rmse"] > 3000  # 30 nm


def test_no_pairs_is_a_programming_error_and_a_lone_file_the_users(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        baseline_rmse([], [])
    save(tmp_path / "a", [np.zeros((4, 4), np.uint8)] * 2)
    save(tmp_path / "b", [np.zeros((4, 4), np.uint8)])
    with pytest.raises(UserError, match="no '1' in"):
        pairs_of(tmp_path / "a", tmp_path / "b")
