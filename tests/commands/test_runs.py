"""Commands upon a run that exists: what is restored, what may differ, and what the networks count."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from commands.build import build_model, count_parameters
from commands.opened_run import load_model
from commands.training import TrainingSession
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UserError

Where = list[str]


def _where(folder: pathlib.Path, name: str) -> Where:
    return ["--name", name, "--checkpoints_dir", str(folder)]


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, aligned: pathlib.Path, unaligned: pathlib.Path, tiny: list[str]
) -> pathlib.Path:
    """Return a folder with the runs "paired" and "cycle", trained for one step."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, model, data, extra in (
        ("paired", "pix2pix", aligned, ["--direction", "BtoA"]),
        ("cycle", "cycle_gan", unaligned, ["--input_nc", "1", "--lambda_identity", "0"]),
    ):
        words = ["--model", model, "--dataroot", str(data), *_where(folder, name), *tiny, "--max_steps", "1", *extra]
        assert TrainingSession(TrainOptions().parse(words)).run() == 0
    return folder


def resume(runs: pathlib.Path, name: str, *words: object) -> dict[str, Any]:
    given = ["--continue_train", "--dataroot", ".", *_where(runs, name), *map(str, words)]
    return TrainOptions().parse(given).values


def test_values(runs: pathlib.Path, name: str, *words: object) -> dict[str, Any]:
    return TestOptions().parse(["--dataroot", ".", *_where(runs, name), *map(str, words)]).values


test_values.__test__ = False  # type: ignore[attr-defined]


def test_resuming_needs_no_repetition(runs: pathlib.Path) -> None:
    values = resume(runs, "paired")
    found = {name: values[name] for name in ("model", "netG", "ngf", "norm", "direction", "preprocess", "max_steps")}
    assert found == {"model": "pix2pix", "netG": "resnet_6blocks", "ngf": 4, "norm": "batch", "direction": "BtoA",
                     "preprocess": "none", "max_steps": None}  # fmt: skip


def test_testing_needs_no_repetition(runs: pathlib.Path) -> None:
    values = test_values(runs, "paired")
    found = {name: values[name] for name in ("model", "netG", "ngf", "direction", "dataset_mode", "phase", "no_flip")}
    assert found == {"model": "pix2pix", "netG": "resnet_6blocks", "ngf": 4, "direction": "BtoA",
                     "dataset_mode": "aligned", "phase": "test", "no_flip": True}  # fmt: skip


@pytest.mark.parametrize(
    "redundant", [["--ngf", "4"], ["--netG", "resnet_6blocks"], ["--norm", "batch", "--no_dropout"]]
)
def test_a_redundant_flag_is_harmless(runs: pathlib.Path, redundant: list[str]) -> None:
    assert resume(runs, "paired", *redundant)["ngf"] == 4
    assert test_values(runs, "paired", *redundant)["ngf"] == 4


@pytest.mark.parametrize("parse", [resume, test_values], ids=["resume", "test"])
@pytest.mark.parametrize(
    ("flag", "given", "saved"),
    [
        *(("ngf", "8", "4"), ("netG", "resnet_9blocks", "resnet_6blocks"), ("norm", "instance", "batch")),
        *(("direction", "AtoB", "BtoA"), ("no_dropout", "false", "True"), ("input_nc", "1", "3")),
    ],
)
def test_a_different_identity_is_one_error_with_both_values(
    runs: pathlib.Path, parse: Callable[..., dict[str, Any]], flag: str, given: str, saved: str
) -> None:
    with pytest.raises(UserError) as caught:
        parse(runs, "paired", f"--{flag}", given)
    message = str(caught.value)
    assert f"--{flag} {given.capitalize() if given == 'false' else given}" in message
    assert f"made with --{flag} {saved}" in message
    assert "\n" not in message


def test_resuming_with_another_model_is_refused(runs: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--model"):
        resume(runs, "paired", "--model", "template")


@pytest.mark.parametrize(
    ("name", "model", "other"), [("cycle", "cycle_gan", "pix2pix"), ("paired", "pix2pix", "template")]
)
def test_testing_with_another_model_is_refused(runs: pathlib.Path, name: str, model: str, other: str) -> None:
    with pytest.raises(UserError, match=f"--model {other}: .*trained with --model {model}.*--model test"):
        test_values(runs, name, "--model", other)
    assert test_values(runs, name, "--model", model)["model"] == model
    assert test_values(runs, name, "--model", "test")["model"] == "test"


def test_training_flags_may_change_on_resume(runs: pathlib.Path) -> None:
    assert resume(runs, "paired", "--lr", "0.001", "--n_epochs", 3)["lr"] == 0.001


def test_the_saved_run_is_found_from_a_config(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "resume.yaml"
    config.write_text(f"name: paired\ncheckpoints_dir: {runs}\ncontinue_train: true\ndataroot: .\n")
    assert TrainOptions().parse(["--config", str(config)]).values["ngf"] == 4


def _opened(runs: pathlib.Path, name: str, *words: str) -> tuple[dict[str, Any], Any]:
    options = TestOptions().parse(["--dataroot", ".", *_where(runs, name), *words])
    return options.values, load_model(options, runs / name)


def test_model_test_takes_the_only_generator_of_pix2pix(runs: pathlib.Path) -> None:
    values, model = _opened(runs, "paired", "--model", "test")
    assert (values["dataset_mode"], list(model.networks())) == ("single", ["G"])


@pytest.mark.parametrize(
    ("words", "network", "channels"),
    [
        ([], "G_A", (1, 3)),
        (["--direction", "BtoA"], "G_B", (3, 1)),
        (["--model_suffix", "_A"], "G_A", (1, 3)),
        (["--model_suffix", "_B"], "G_B", (3, 1)),
    ],
)
def test_model_test_takes_one_side_of_cycle_gan(
    runs: pathlib.Path, words: list[str], network: str, channels: tuple[int, int]
) -> None:
    values, model = _opened(runs, "cycle", "--model", "test", *words)
    assert list(model.networks()) == [network]
    assert (values["input_nc"], values["output_nc"]) == channels


def test_the_side_follows_the_direction_of_the_training(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    import json
    import shutil

    shutil.copytree(runs / "cycle", tmp_path / "back")
    path = tmp_path / "back" / "options.json"
    saved = json.loads(path.read_text())
    saved["direction"]["value"] = "BtoA"
    path.write_text(json.dumps(saved))
    assert list(_opened(tmp_path, "back", "--model", "test")[1].networks()) == ["G_A"]
    assert list(_opened(tmp_path, "back", "--model", "test", "--direction", "AtoB")[1].networks()) == ["G_B"]


def test_a_missing_epoch_names_those_there_are(runs: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--epoch can be latest"):
        _opened(runs, "paired", "--epoch", "77")


def test_a_damaged_options_file_is_one_line(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "broken").mkdir()
    for content in ("{", "[]", '{"ngf": 3}'):
        (tmp_path / "broken" / "options.json").write_text(content)
        with pytest.raises(UserError, match="damaged options file"):
            resume(tmp_path, "broken")


COUNTS = {
    "--model pix2pix": {"G": 54_413_955, "D": 2_768_705},
    "--model template --netG unet_256 --norm instance": {"G": 54_409_603},
    "--model pix2pix --netG unet_128 --netD pixel": {"G": 41_828_995, "D": 9_024},
    "--model template --netG unet_128 --norm instance": {"G": 41_825_667},
    "--model cycle_gan": dict.fromkeys(("G_A", "G_B"), 11_378_179) | dict.fromkeys(("D_A", "D_B"), 2_764_737),
    "--model cycle_gan --netG resnet_6blocks --netD pixel": dict.fromkeys(("G_A", "G_B"), 7_837_699)
    | dict.fromkeys(("D_A", "D_B"), 8_705),
    "--model template --netG resnet_9blocks": {"G": 11_383_427},
    "--model template --netG resnet_6blocks": {"G": 7_841_411},
}


@pytest.mark.parametrize("words", COUNTS)
def test_networks_have_the_established_numbers_of_parameters(words: str) -> None:
    model = build_model(TrainOptions().parse(["--dataroot", ".", *words.split()]), train=True)
    assert {name: count_parameters(network) for name, network in model.networks().items()} == COUNTS[words]


def test_dry_run_prints_options_and_counts_and_writes_nothing(script: Any, tmp_path: pathlib.Path) -> None:
    words = [
        "--dry_run",
        "--model",
        "template",
        "--netG",
        "resnet_6blocks",
        "--dataroot",
        "/nowhere",
        "--gpu_ids",
        "-1",
    ]
    done = script("train.py", *words, "--checkpoints_dir", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[Network G] 7,841,411 parameters" in done.stdout
    assert "resnet_6blocks" in done.stdout
    assert list(tmp_path.iterdir()) == []
