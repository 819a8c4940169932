"""Validation in whole trainings: what it writes, what follows from it, and that nothing else changes."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from commands.testing import TestingSession
from options.test_options import TestOptions
from training.checkpoint import load_state
from training.loggers.jsonl import read
from util.errors import UserError

Train = Callable[..., int]
Words = Callable[..., list[str]]


@pytest.fixture(scope="module")
def with_val(aligned: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the aligned pairs with a val split of its own."""
    root = tmp_path_factory.mktemp("with_val")
    shutil.copytree(aligned, root, dirs_exist_ok=True)
    shutil.copytree(aligned / "test", root / "val")
    return root


@pytest.fixture
def words(tmp_path: pathlib.Path, with_val: pathlib.Path, tiny: list[str]) -> Words:
    def build(name: str, *more: object, model: str = "template", data: pathlib.Path = with_val) -> list[str]:
        where = ["--model", model, "--dataroot", data, "--checkpoints_dir", tmp_path, "--name", name]
        epochs = ["--n_epochs", 1, "--n_epochs_decay", 1, "--batch_size", 2, "--no_dropout", "false"]
        return [str(word) for word in [*where, *tiny, *epochs, *more]]

    return build


def validations(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [record for record in read(folder / "losses.jsonl") if any("val_" in name for name in record["losses"])]


def test_values_reach_the_logs_and_the_best_weights_can_be_tested(
    train: Train, words: Words, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """pix2pix has batch norm: both statistics are measured."""
    assert train(*words("run", "--val_freq", 1, model="pix2pix")) == 0
    run = tmp_path / "run"
    assert "validation: 2 images of phase val every 1 epochs, best by psnr" in capsys.readouterr().out
    records = validations(run)
    assert [(record["epoch"], record["iters"]) for record in records] == [(1, 6), (2, 6)]
    expected = {f"val_{name}" for name in ("psnr", "ssim", "rmse", "mae", "psnr_batch")}
    assert set(records[0]["losses"]) - {"val_lpips"} == expected
    lines = (run / "loss_log.txt").read_text().splitlines()
    assert sum("val_psnr: " in line for line in lines) == 2

    best = json.loads((run / "best.json").read_text())
    assert best["value"] == pytest.approx(max(record["losses"]["val_psnr"] for record in records), rel=1e-4)
    options = TestOptions().parse(
        [str(w) for w in ["--dataroot", words("x")[3], "--name", "run", "--checkpoints_dir", tmp_path,
                          "--results_dir", tmp_path / "results", "--epoch", "best", "--gpu_ids", -1]]
    )  # fmt: skip
    assert TestingSession(options).run() == 0
    assert f"best: epoch {best['epoch']}, psnr " in capsys.readouterr().out
    metrics = json.loads((tmp_path / "results" / "run" / "test_best" / "metrics.json").read_text())
    assert metrics["mean"]["psnr"] == pytest.approx(best["value"], rel=1e-6), "val and test hold the same images here"


def test_validation_changes_nothing_and_resumes_exactly(train: Train, words: Words, tmp_path: pathlib.Path) -> None:
    same = ["--n_epochs", 2, "--lr_policy", "plateau"]
    more = [*same, "--val_freq", 1]
    train(*words("whole", *more))
    train(*words("without", *same, "--val_freq", 0))
    for stop in (1, 4, 6, None):
        again = [] if stop == 1 else ["--continue_train"]
        train(*words("parts", *more, *again, *(["--max_steps", stop] if stop else [])))
    whole, parts, without = (load_state(tmp_path / name) for name in ("whole", "parts", "without"))
    for name, value in whole["update"]["networks"].items():
        assert torch.equal(value, parts["update"]["networks"][name])
        assert torch.equal(value, without["update"]["networks"][name])
    assert whole["validation"] == parts["validation"]
    assert whole["schedule"] == parts["schedule"]
    first = validations(tmp_path / "whole")[0]["losses"]
    assert whole["schedule"]["best"] == pytest.approx(-first["val_psnr"], rel=1e-5), "plateau watches the real metric"
    assert (tmp_path / "whole/best.json").read_text() == (tmp_path / "parts/best.json").read_text()
    for ours, theirs in zip(validations(tmp_path / "whole"), validations(tmp_path / "parts"), strict=True):
        assert ours["losses"] == theirs["losses"]
        assert ours["total_iters"] == theirs["total_iters"]


def test_a_training_that_stalls_stops_early_and_says_how_to_go_on(
    train: Train, words: Words, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stalled = [
        "--val_freq",
        1,
        "--lr",
        0,
        "--norm",
        "instance",
        "--n_epochs",
        9,
        "--early_stop",
        2,
        "--best_metric",
        "rmse",
    ]
    assert train(*words("run", *stalled)) == 0
    assert load_state(tmp_path / "run")["position"] == (4, 0, 9, 18)
    assert (tmp_path / "run" / "3_net_G.pth").is_file()
    capsys.readouterr()
    assert train(*words("run", "--continue_train", "--n_epochs", 9)) == 0
    assert "2 validations without a better rmse; raise --early_stop" in capsys.readouterr().out
    assert load_state(tmp_path / "run")["position"] == (4, 0, 9, 18)
    train(*words("run", "--continue_train", "--n_epochs", 9, "--early_stop", 3))
    assert load_state(tmp_path / "run")["position"] == (5, 0, 12, 24)


def test_by_itself_it_needs_a_split_apart_from_the_test_split(
    train: Train, words: Words, tmp_path: pathlib.Path, with_val: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(*words("apart", "--max_steps", 1))
    assert "validation: 2 images of phase val every 5 epochs" in capsys.readouterr().out
    flat = tmp_path / "flat"
    shutil.copytree(with_val / "train", flat)
    train(*words("flat_run", "--max_steps", 1, data=flat))
    assert "validation:" not in capsys.readouterr().out
    train(*words("flat_run", "--max_steps", 1, "--val_freq", 2, data=flat))
    assert "validation: 1 images of phase val every 2 epochs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--val_freq", 2], "--val_freq 2: .*val"),
        (["--early_stop", 2], "--early_stop 2: nothing is validated"),
    ],
)
def test_asking_for_what_is_not_there_is_refused(
    train: Train, words: Words, aligned: pathlib.Path, more: list[object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train(*words("run", *more, data=aligned))


def test_without_pairs_there_are_pictures_and_no_best(
    train: Train, words: Words, unaligned: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(unaligned, data)
    for side in "AB":
        shutil.copytree(data / f"test{side}", data / f"val{side}")
    cycle = {"model": "cycle_gan", "data": data}
    with pytest.raises(UserError, match="--early_stop 2: the val split has no pairs"):
        train(*words("run", "--early_stop", 2, **cycle))
    with pytest.raises(UserError, match="--best_metric ssim: the val split has no pairs"):
        train(*words("run", "--best_metric", "ssim", **cycle))
    train(*words("run", "--val_freq", 1, "--n_epochs_decay", 0, "--no_html", "false", "--max_steps", 1, **cycle))
    train(*words("run", "--continue_train", "--no_html", "false", **cycle))  # whose flags are saved by now
    assert "pictures only" in capsys.readouterr().out
    assert (tmp_path / "run/web/images/epoch001_val_fake_B.png").is_file()
    assert not list((tmp_path / "run").glob("best*"))
    assert all(record["losses"] for record in read(tmp_path / "run" / "losses.jsonl"))


def test_a_metric_without_its_weights_is_refused(
    train: Train, words: Words, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="--best_metric lpips: .*--lpips_weights"):
        train(*words("run", "--val_freq", 1, "--best_metric", "lpips"))


def test_ms_ssim_needs_large_images_and_says_so_at_the_start(
    train: Train, words: Words, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--val_freq", 1, "--n_epochs_decay", 0, "--best_metric", "ms_ssim"]
    with pytest.raises(UserError, match="--best_metric ms_ssim: .*160 pixels a side; use ssim"):
        train(*words("small", *chosen))
    assert not (tmp_path / "small" / "losses.jsonl").exists()
    for split in ("train", "val"):
        (tmp_path / "large" / split).mkdir(parents=True)
        ramp = np.tile(np.arange(352, dtype=np.uint8) // 2, (176, 1))
        Image.fromarray(ramp).convert("RGB").save(tmp_path / "large" / split / "0.png")
    train(*words("large_run", *chosen, data=tmp_path / "large"))
    best = json.loads((tmp_path / "large_run" / "best.json").read_text())
    (record,) = validations(tmp_path / "large_run")
    assert best["metric"] == "ms_ssim"
    assert best["value"] == pytest.approx(record["losses"]["val_ms_ssim"], rel=1e-4)
