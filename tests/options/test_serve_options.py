"""The command line of serve.py: mistakes are answered in one line, before anything is loaded."""

from __future__ import annotations

import pathlib

import pytest

from inference.server.settings import ServerOptions
from options.serve_options import ServedRunsOptions, ServeOptions
from util.errors import UserError


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    return tmp_path


def parse(folder: pathlib.Path, *words: str) -> ServerOptions:
    return ServeOptions().parse(["--checkpoints_dir", str(folder), *words]).of(ServerOptions)


def test_one_run_or_several(folder: pathlib.Path) -> None:
    options = ServeOptions().parse(["--checkpoints_dir", str(folder), "--name", "one,two", "--gpu_ids", "-1"])
    runs = options.of(ServedRunsOptions)
    assert (runs.name, runs.gpu_ids, runs.direction) == (("one", "two"), "-1", None)


def test_only_this_machine_is_let_in_by_default(folder: pathlib.Path) -> None:
    options = parse(folder, "--name", "one")
    assert options.host == "127.0.0.1" and options.local
    assert not parse(folder, "--name", "one", "--host", "0.0.0.0").local


def test_sizes_are_in_megabytes(folder: pathlib.Path) -> None:
    options = parse(folder, "--name", "one", "--max_upload", "0.5", "--max_store", "3")
    assert (options.upload_bytes, options.store_bytes) == (500_000, 3_000_000)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--name is missing"),
        (["--name", ""], "--name is missing"),
        (["--name", "three"], "no such run"),
        (["--name", "one,three"], "no such run"),
        (["--name", "one,one"], "named twice"),
        (["--name", "../one"], "plain folder name"),
        (["--name", "one,"], "plain folder name"),
        (["--name", "one", "--ensemble", "mean"], "joins runs"),
        (["--name", "one", "--port", "70000"], "too large"),
        (["--name", "one", "--queue", "0"], "too small"),
        (["--name", "one", "--direction", "CtoD"], "unknown"),
        (["--name", "one", "--tokn", "x"], "did you mean --token"),
        (["--name", "one", "--classifier_weights", "w.pth"], "--classifier resnet50"),
        (["--name", "one", "--classifier_names", "names.txt"], "--classifier resnet50"),
        (["--name", "one", "--classifier_run", "three"], "--classifier_run three: no such run"),
        (["--name", "one", "--classifier_run", "two", "--classifier", "resnet18"], "leave out --classifier resnet18"),
    ],
)
def test_mistakes_are_one_line(folder: pathlib.Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        parse(folder, *words)
    assert "\n" not in str(error.value)
