"""The whole chain on tiny data: every stage, its table, and what an interruption leaves to do."""

from __future__ import annotations

import importlib
import pathlib
import shlex
import sys
import zipfile

import pytest
from PIL import Image

from recipes.chain import Stage, follow
from recipes.sem_depth_chain import Chain, format_rows, rmse
from util.errors import UserError

SHORT = shlex.split("--n_epochs 1 --n_epochs_decay 0 --max_steps 2 --gpu_ids -1 --num_threads 0 --no_html")


def test_the_chain_ends_in_a_submission_and_does_nothing_twice(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[list[str]] = []

    def call(words: list[str]) -> None:
        called.append(words)
        monkeypatch.setattr(sys, "argv", words)
        assert not importlib.import_module(words[0].removesuffix(".py")).main()

    demo = f"prepare.py demo --kind sem_depth --by_level --count 12 --size 32 --out {tmp_path / 'data'}"
    call(shlex.split(demo))
    network = shlex.split("--netG unet --num_downs 3 --ngf 4")
    chain = Chain(tmp_path / "work", tmp_path / "data", 2, 0, SHORT, network, 4, True, "test_convnext", call)
    rows = chain.run()
    assert list(rows) == [
        *("CycleGAN straight to depth", "U-Net, real images as they are", "CycleGAN, U-Net", "with the level"),
        *("with the level by the mask of the background", "mean of 2 folds", "mean of the folds with the level"),
    ]
    assert all(1000 < value < 60000 for value in rows.values())
    assert rows["CycleGAN, U-Net"] != rows["U-Net, real images as they are"] != rows["mean of 2 folds"]
    assert rows["CycleGAN, U-Net"] != rows["with the level by the mask of the background"]
    assert f"| with the level | {rows['with the level']:.4g} |" in format_rows(rows)
    with zipfile.ZipFile(tmp_path / "work/submission.zip") as archive:
        assert archive.namelist() == ["r0000.png", "r0001.png"]
    done = len(called)
    assert chain.run() == rows and len(called) == done
    assert any("--ensemble" in words for words in called) and "straight" in capsys.readouterr().out


def test_a_true_depth_map_that_is_missing_is_named(tmp_path: pathlib.Path) -> None:
    for place in ("made/a.png", "made/b.png", "truth/a.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4), 10).save(tmp_path / place)
    with pytest.raises(UserError, match="truth: no true depth map 'b'; add it"):
        rmse(tmp_path / "made", tmp_path / "truth")
    Image.new("L", (4, 4), 13).save(tmp_path / "truth/b.png")
    assert rmse(tmp_path / "made", tmp_path / "truth") == pytest.approx((9 / 2) ** 0.5)


def test_an_interrupted_training_goes_on_and_what_follows_is_done_anew(tmp_path: pathlib.Path) -> None:
    called: list[list[str]] = []
    stages = [Stage("net", ["train.py", "--lr", "1"]), Stage("out", ["test.py"]), Stage("last", ["prepare.py"])]

    def stop(words: list[str]) -> None:
        called.append(words)
        (tmp_path / "runs/net").mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs/net/state.pth").touch()
        if len(called) == 1:
            raise UserError("killed")

    def go(chosen: list[Stage]) -> list[str]:
        after: list[str] = []
        follow(chosen, tmp_path / "notes", tmp_path / "runs", lambda stage: after.append(stage.name), stop)
        return after

    with pytest.raises(UserError, match="killed"):
        go(stages)
    assert go(stages) == ["net", "out", "last"]
    assert called[1] == ["train.py", "--lr", "1", "--continue_train"] and len(called) == 4
    go(stages)
    assert len(called) == 4, "all is done"
    go([Stage("net", ["train.py", "--lr", "2"]), *stages[1:]])
    assert called[4] == ["train.py", "--lr", "2"] and len(called) == 7, "another run begins, and so does what follows"
