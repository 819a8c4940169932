"""``prepare.py cache`` leaves nothing to decode for a training with the same flags."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import torch

from data import DATASETS
from data.cache_room import entries
from data.common import CommonDataOptions
from data.tools import cache as tool
from data.tools.parser import Parser
from data.writers import write_image
from util.errors import UserError


def _run(*words: object) -> int:
    parser = Parser()
    tool.add_arguments(parser)
    return tool.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def folders(tmp_path: pathlib.Path) -> pathlib.Path:
    random = np.random.default_rng(0)
    for folder, count in (("trainA", 3), ("trainB", 4), ("train", 2)):
        for index in range(count):
            write_image(tmp_path / f"d/{folder}/{index}.png", random.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    return tmp_path / "d"


@pytest.mark.parametrize(("mode", "images"), [("unaligned", 7), ("aligned", 4), ("single", 9)])
def test_a_training_finds_every_image(
    folders: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: str,
    images: int,
) -> None:
    flags: dict[str, Any] = {"dataroot": str(folders), "cache": str(tmp_path / "c"), "load_size": 30, "crop_size": 16}
    assert _run("--dataset_mode", mode, *(word for k, v in flags.items() for word in (f"--{k}", v))) == 0
    assert f"{tmp_path / 'c'} holds 0.00 of 10 GB" in capsys.readouterr().out
    assert len(list(entries(tmp_path / "c"))) == images
    dataset = DATASETS.get(mode)(DATASETS.options(mode)(), CommonDataOptions(**flags), train=True)
    for module in ("data.pairs", "data.domains"):
        monkeypatch.setattr(f"{module}.read_image", lambda path: pytest.fail(f"{path} is decoded"))
    for index in range(len(dataset)):
        assert dataset.load(index, torch.Generator().manual_seed(index))["A"].shape == (3, 16, 16)


def test_workers_fill_it_too(folders: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.loader.processors", lambda: 2)
    words = ("--dataset_mode", "unaligned", "--dataroot", folders, "--cache", tmp_path / "c", "--num_threads", 2)
    assert _run(*words) == 0 and len(list(entries(tmp_path / "c"))) == 7


def test_unreadable_files_are_named_and_the_others_kept(
    folders: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folders / "trainA/1.png"
    path.write_bytes(path.read_bytes()[:-30])
    words = ("--dataset_mode", "unaligned", "--dataroot", folders, "--cache", tmp_path / "c", "--num_threads", 0)
    assert _run(*words) == 1 and len(list(entries(tmp_path / "c"))) == 6
    out = capsys.readouterr().out
    assert out.startswith(f"skipped: {path}") and "1 image(s) cannot be read" in out


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("--dataset_mode inpaint --mask_kinds strokes:1,blobs", {"preprocess": "crop", "input_nc": 4}),
        ("--dataset_mode inpaint --preprocess resize_and_crop", {"preprocess": "resize_and_crop"}),
        ("--dataset_mode super_resolution --crop_size 16", {"crop_size": 16, "preprocess": "crop"}),
        ("--dataset_mode single --max_dataset_size inf", {"max_dataset_size": None}),
        ("--dataset_mode labelled --classes trainA,trainB --output_nc 1 --dir_A {root}", {"output_nc": 1}),
    ],
)
def test_flags_mean_what_they_mean_to_the_training(
    folders: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, words: str, values: dict[str, Any]
) -> None:
    seen: list[CommonDataOptions] = []
    monkeypatch.setattr("data.prepared.open_cache", lambda common: seen.append(common))
    given = words.format(root=folders / "train").split()
    if "labelled" in given:
        (folders / "train/classes").mkdir()
        for name in ("trainA", "trainB"):
            (folders / name).rename(folders / "train/classes" / name)
        given[-1] = str(folders / "train/classes")
    assert _run(*given, "--dataroot", folders, "--num_threads", 0, "--cache", tmp_path / "c") == 0
    assert {name: getattr(seen[0], name) for name in values} == values


def test_flags_that_cannot_be_are_one_line(folders: pathlib.Path) -> None:
    for words, message in (
        (("--cache", "off"), "--cache off: there is no cache to fill"),
        (("--cache_limit", -1), "--cache_limit -1.0 is too small; the least is 0"),
        (("--val_fraction", 2), "--val_fraction 2.0 is too large; the most is 0.9"),
        (("--dataset_mode", "alinged"), "did you mean aligned"),
    ):
        with pytest.raises(UserError, match=message):
            _run("--dataroot", folders, *words)
