"""Several runs in one command: test.py, with and without a data set, a2b.load, what is refused."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import pytest

import a2b
from commands.build import build_dataset, build_model, describe_data
from commands.testing import TestingSession
from commands.translating import TranslatingSession
from data.readers import read_image
from data.writers import write_image
from models.files import save_networks
from options.saved import save_options
from options.test_options import TestOptions, members_of
from options.train_options import TrainOptions
from util.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 37, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def runs(aligned: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder of runs a, b and c without training, c with another network."""
    folder = tmp_path_factory.mktemp("runs")
    for name, network in (("a", "resnet_6blocks"), ("b", "resnet_6blocks"), ("c", "srcnn")):
        words = f"--dataroot {aligned} --name {name} --checkpoints_dir {folder} --model template --netG {network}"
        words += f" --init_gain 0.5 --seed {ord(name)} --preprocess none --gpu_ids -1"
        options = TrainOptions().parse([*words.split(), *(["--ngf", "4"] if network != "srcnn" else [])])
        (folder / name).mkdir()
        save_options(options, folder / name, "train")
        ranges = describe_data(build_dataset(options, train=True))
        (folder / name / "data.json").write_text(json.dumps(ranges))
        save_networks(build_model(options, train=False).networks(), folder / name, "latest")
    return folder


def translated(runs: pathlib.Path, folder: pathlib.Path, *words: str) -> np.ndarray:
    """Return what ``test.py --input`` makes of an image."""
    write_image(folder / "in.png", IMAGE)
    places = ["--checkpoints_dir", str(runs), "--input", str(folder / "in.png"), "--output", str(folder / "out.png")]
    options = TestOptions().parse([*places, "--gpu_ids", "-1", "--precision", "fp32", *words])
    assert TranslatingSession(options).run() == 0
    return read_image(folder / "out.png").astype(int)


@pytest.mark.parametrize("how", ["mean", "median", "vote", "weights"])
def test_a_run_with_itself_is_the_run(runs: pathlib.Path, tmp_path: pathlib.Path, how: str) -> None:
    alone = translated(runs, tmp_path, "--name", "a")
    assert np.array_equal(translated(runs, tmp_path, "--name", "a,a", "--ensemble", how), alone)


def test_the_mean_of_two_is_the_mean_of_both(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    first, second = (translated(runs, tmp_path, "--name", name) for name in "ac")
    both = translated(runs, tmp_path, "--name", "a,c")
    assert np.abs(both - (first + second) / 2).max() <= 1 and np.abs(first - second).mean() > 2
    assert np.abs(translated(runs, tmp_path, "--name", "a,c", "--ensemble", "median") - both).max() <= 1
    turned = translated(runs, tmp_path, "--name", "a,c", "--tta", "x8")
    assert not np.array_equal(turned, both)


def test_python_joins_runs_and_weight_files(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    expected = translated(runs, tmp_path, "--name", "a,b", "--ensemble", "weights")
    for paths in ([runs / "a", runs / "b"], [runs / "a/latest_net_G.pth", runs / "b/latest_net_G.pth"]):
        translate = a2b.load(*paths, ensemble="weights", gpu_ids="-1")
        assert len(translate.predictor.models) == 1
        assert np.array_equal(translate(IMAGE), expected)
    with pytest.raises(UserError, match="mean, median, vote, weights"):
        a2b.load(runs / "a", ensemble="best")


def test_a_data_set_is_measured_by_all_together(
    runs: pathlib.Path, aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    words = f"--dataroot {aligned} --checkpoints_dir {runs} --results_dir {tmp_path} --gpu_ids -1 --precision fp32"
    images = {}
    for name, how, folder in (("a", "", "test_latest"), ("c", "", "test_latest"), ("a,c", "mean", "test_latest_mean")):
        command = [*words.split(), "--name", name, *(["--ensemble", how] if how else [])]
        assert TestingSession(TestOptions().parse(command)).run() == 0
        images[name] = read_image(tmp_path / name / folder / "images/00_fake_B.png").astype(int)
    assert np.abs(images["a,c"] - (images["a"] + images["c"]) / 2).max() <= 1
    assert "rmse" in (tmp_path / "a,c/test_latest_mean/metrics.csv").read_text().lower()


def test_an_ensemble_of_folds_says_who_has_seen_the_images(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        for side in "AB":
            write_image(tmp_path / f"data/{side}/{number}.png", IMAGE)
    places = ["--dataroot", str(tmp_path / "data"), "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1"]
    flags = ["--model", "template", "--netG", "srcnn", "--preprocess", "none", "--dir_A", "A", "--dir_B", "B"]
    for number in "12":
        words = [*places, *flags, "--folds", "2", "--fold", number, "--name", f"fold{number}"]
        options, folder = TrainOptions().parse(words), tmp_path / f"fold{number}"
        folder.mkdir()
        save_options(options, folder, "train")
        (folder / "data.json").write_text(json.dumps(describe_data(build_dataset(options, train=True))))
        save_networks(build_model(options, train=False).networks(), folder, "latest")
    notes = {}
    for name in ("fold1,fold2", "fold1,fold1"):
        words = [*places, "--results_dir", str(tmp_path / "results"), "--precision", "fp32", "--name", name]
        assert TestingSession(TestOptions().parse(words)).run() == 0
        notes[name] = capsys.readouterr().err
    assert "fold1 holds these images out, but fold2 trained on some of them" in notes["fold1,fold2"]
    assert "holds these images out" not in notes["fold1,fold1"]


def test_runs_of_other_ranges_meet_in_file_units(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    ranges = shutil.copytree(runs, tmp_path / "runs") / "c" / "data.json"
    saved = json.loads(ranges.read_text())
    for side in saved.values():
        side["range"] = {"low": 10.0, "high": 200.0}
    ranges.write_text(json.dumps(saved))
    first, second = (translated(tmp_path / "runs", tmp_path, "--name", name) for name in "ac")
    both = translated(tmp_path / "runs", tmp_path, "--name", "a,c")
    assert np.abs(both - (first + second) / 2).max() <= 1
    for side in saved.values():
        side["format"]["dtype"] = "float32"
    ranges.write_text(json.dumps(saved))
    with pytest.raises(UserError, match="without a common unit"):
        translated(tmp_path / "runs", tmp_path, "--name", "a,c")


def test_every_run_is_opened_as_it_would_be_alone(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "flags.yaml"
    config.write_text("tta: x8\n")
    words = ["--name", "a,c", "--checkpoints_dir", str(runs), "--dataroot", ".", "--model", "test"]
    members = members_of(TestOptions().parse([*words, "--config", str(config), "--test_norm", "batch"]))
    assert [each.values["netG"] for each in members] == ["resnet_6blocks", "srcnn"]
    assert [(each.values["name"], each.values["tta"], each.values["test_norm"]) for each in members] == [
        ("a", "x8", "batch"),
        ("c", "x8", "batch"),
    ]


def test_what_all_runs_do_together_is_asked_of_none_alone(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Neither the joining nor the time for it, given on the command line or in a file."""
    words, config = ["--name", "a,b", "--ensemble", "mean", "--time_budget", "20s"], tmp_path / "flags.yaml"
    translated(runs, tmp_path, *words)
    config.write_text("name: a,b\nensemble: mean\ntime_budget: 20s\ntest_norm: batch\n")
    options = TestOptions().parse(["--checkpoints_dir", str(runs), "--dataroot", ".", "--config", str(config)])
    members = members_of(options)
    assert [(each.values["name"], each.values["test_norm"]) for each in members] == [("a", "batch"), ("b", "batch")]
    assert [(each.values["ensemble"], each.values["time_budget"]) for each in members] == [(None, None)] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--name a --ensemble mean", "--ensemble mean joins runs: name several"),
        ("--name a,x", "x: no such run"),
        ("--name a,", "plain folder name"),
        ("--name a,c --ensemble weights", r"a and c have different --netG \(resnet_6blocks and srcnn\)"),
        ("--name a,b --ensemble best", "choose from mean, median, vote, weights"),
    ],
)
def test_mistakes_are_one_line(runs: pathlib.Path, tmp_path: pathlib.Path, words: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        translated(runs, tmp_path, *words.split())
    assert "\n" not in str(error.value)
