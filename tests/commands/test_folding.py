"""Cross-validation: every image is held out once, groups stay together, and runs go on."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import numpy as np
import pytest

import train as train_script
from commands.folding import each_fold
from data import DATASETS
from data.common import CommonDataOptions
from data.writers import write_image
from training.checkpoint import load_state
from util.errors import UserError


@pytest.fixture
def pairs(tmp_path: pathlib.Path) -> pathlib.Path:
    random = np.random.default_rng(0)
    for number in range(7):
        for scan in range(2):
            for side in ("input", "target"):
                image = random.integers(0, 255, (32, 32, 3), np.uint8)
                write_image(tmp_path / f"data/{side}/s{number}_itr{scan}.png", image)
    return tmp_path / "data"


def names(root: pathlib.Path, phase: str, **flags: Any) -> set[str]:
    flags = {"dir_A": "input", "dir_B": "target"} | flags
    common = CommonDataOptions(dataroot=str(root), phase=phase, **flags)
    return set(DATASETS.get("aligned")(DATASETS.options("aligned")(), common, train=False).names)


def test_every_image_is_held_out_once_and_scans_stay_together(pairs: pathlib.Path) -> None:
    held_out = [names(pairs, "test", folds=3, fold=str(number)) for number in (1, 2, 3)]
    assert sorted(map(len, held_out)) == [4, 4, 6] and len(set.union(*held_out)) == 14
    for number, out in enumerate(held_out, start=1):
        assert names(pairs, "train", folds=3, fold=str(number)) | out == names(pairs, "all")
        assert {name.replace("itr0", "itr1") for name in out if "itr0" in name} == {n for n in out if "itr1" in n}
        assert names(pairs, "val", folds=3, fold=str(number)) == out


def test_groups_stay_together_in_the_plain_split_too(pairs: pathlib.Path) -> None:
    out = names(pairs, "test", group_by=r"s\d", val_fraction=0.4)
    assert {name[:2] for name in out}.isdisjoint({name[:2] for name in names(pairs, "train", group_by=r"s\d", val_fraction=0.4)})  # noqa: E501


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"folds": 3}, "--fold None: with --folds 3 give 1 to 3"),
        ({"folds": 3, "fold": "4"}, "--fold 4: with --folds 3"),
        ({"folds": 9, "fold": "1"}, "there are only 7 group"),
        ({"folds": 3, "fold": "1", "group_by": "x"}, "--group_by x: does not match"),
    ],
)
def test_mistakes_are_one_line(pairs: pathlib.Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        names(pairs, "train", **flags)


def test_data_that_are_split_already_cannot_be_folded(aligned: pathlib.Path, unaligned: pathlib.Path) -> None:
    with pytest.raises(UserError, match="has folders for its phases already"):
        names(aligned, "train", dir_A=None, dir_B=None, folds=2, fold="1")
    common = CommonDataOptions(dataroot=str(unaligned), folds=2, fold="1")
    with pytest.raises(UserError, match="has folders for its phases already"):
        DATASETS.get("unaligned")(DATASETS.options("unaligned")(), common, train=True)


def test_one_command_line_for_each_fold(tmp_path: pathlib.Path) -> None:
    words = ["--name", "x", "--folds", "2", "--checkpoints_dir", str(tmp_path), "--fold", "all", "--continue_train"]
    (tmp_path / "x_fold1").mkdir()
    first, second = each_fold(words)
    assert first == [*words, "--fold", "1", "--name", "x_fold1"]
    assert second == [*words, "--fold", "2", "--name", "x_fold2", "--continue_train", "false"]
    assert each_fold(["--fold", "2", "--folds", "3"]) == [["--fold", "2", "--folds", "3"]]
    with pytest.raises(UserError, match="give the number of folds too"):
        each_fold(["--fold", "all"])


def test_all_folds_are_trained_and_gone_on_with(
    pairs: pathlib.Path, tiny: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ["--dataroot", pairs, "--dir_A", "input", "--dir_B", "target", "--folds", "2", "--fold", "all"]
    words = ["--model", "template", *data, *tiny, "--checkpoints_dir", tmp_path, "--name", "run", "--batch_size", "4"]

    def run(*more: str) -> int:
        monkeypatch.setattr(sys, "argv", ["train.py", *map(str, words), *more])
        return train_script.main()

    assert run("--max_steps", "1", "--fold", "1") == 0
    (tmp_path / "run").rename(tmp_path / "run_fold1")
    assert run("--max_steps", "2", "--continue_train") == 0
    steps = [load_state(tmp_path / f"run_fold{number}")["position"][2] for number in (1, 2)]
    assert steps == [2, 2]
