"""test.py --weights FILE: a weight file from anywhere in place of a run."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

import a2b
from commands.testing import TestingSession
from commands.training import TrainingSession
from commands.translating import TranslatingSession
from data.readers import read_image
from data.writers import write_image
from options.test_options import TestOptions
from options.train_options import TrainOptions
from training.checkpoint import load_state
from util.errors import UserError

spandrel = pytest.importorskip("spandrel")


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 27, 3), np.uint8)


@pytest.fixture(params=["ours", "theirs"])
def weights(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> pathlib.Path:
    """Return the file of a x2 network that a2b knows, and of one that only spandrel knows."""
    torch.manual_seed(0)
    network = spandrel.architectures.SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2)
    if request.param == "ours":
        network = a2b.build_generator("compact", ngf=8, n_convs=2, scale=2)
    torch.save(network.state_dict(), tmp_path / "net_x2.pth")
    return tmp_path / "net_x2.pth"


def words(*given: object) -> list[str]:
    return [str(word) for word in (*given, "--gpu_ids", "-1", "--precision", "fp32")]


def test_pictures_are_those_of_spandrel_to_one_level(
    weights: pathlib.Path, photo: np.ndarray, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        write_image(tmp_path / "in" / name, photo)
    given = words("--weights", weights, "--input", tmp_path / "in", "--output", tmp_path / "out")
    assert TranslatingSession(TestOptions().parse(given)).run() == 0
    with torch.no_grad():
        x = torch.from_numpy(photo).permute(2, 0, 1)[None] / 255
        wanted = (spandrel.ModelLoader().load_from_file(weights).model.eval()(x)[0].clamp(0, 1) * 255).round()
    for name in ("a.png", "sub/b.png"):
        result = read_image(tmp_path / "out" / name).astype(float)
        assert np.abs(result - wanted.permute(1, 2, 0).numpy()).max() <= 1
    assert np.array_equal(a2b.load(weights, gpu_ids="-1")(photo), result)


def test_tiles_change_nothing(photo: np.ndarray, weights: pathlib.Path, tmp_path: pathlib.Path) -> None:
    if "SPAN" in str(spandrel.ModelLoader().load_from_file(weights).architecture.id):
        pytest.skip("spandrel does not say how far its networks see, so they run whole")
    large = np.tile(photo, (6, 4, 1))
    whole = a2b.load(weights, gpu_ids="-1")(large)
    write_image(tmp_path / "large.png", large)
    given = words("--weights", weights, "--input", tmp_path / "large.png", "--output", tmp_path / "tiled.png")
    assert TranslatingSession(TestOptions().parse([*given, "--tile_size", "64"])).run() == 0
    assert np.array_equal(read_image(tmp_path / "tiled.png"), whole)


def test_it_is_measured_beside_bicubic_under_the_name_of_the_file(
    weights: pathlib.Path, photo: np.ndarray, tmp_path: pathlib.Path
) -> None:
    write_image(tmp_path / "images" / "a.png", np.tile(photo, (2, 2, 1)))
    given = words("--weights", weights, "--model", "sr", "--dataset_mode", "super_resolution", "--phase", "all")
    folders = ["--dataroot", str(tmp_path / "images"), "--results_dir", str(tmp_path / "results")]
    folders += ["--checkpoints_dir", str(tmp_path / "checkpoints")]
    assert TestingSession(TestOptions().parse([*given, *folders])).run() == 0
    assert "bicubic" in (tmp_path / "results" / "net_x2" / "all_latest" / "metrics.json").read_text()
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--weights", "absent.pth"], "absent.pth: no such weights file"),
        (["--weights", "absent.pth", "--name", "x"], "leave out --name"),
        (["--weights", "absent.pth", "--epoch", "3"], "leave out --epoch"),
    ],
)
def test_mistakes(given: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TestOptions().parse([*given, "--dataroot", "."])


@pytest.mark.parametrize(
    ("given", "message"),
    [([], "name the file by --init_from"), (["--init_from", "some_run"], "--init_from some_run: no such file")],
)
def test_training_wants_the_file_of_a_pretrained_network(given: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        words = ["--dataroot", ".", "--model", "sr", "--netG", "pretrained", "--dry_run", *given]
        TrainingSession(TrainOptions().parse(words))


def test_two_generators_are_refused(weights: pathlib.Path) -> None:
    options = TestOptions().parse(words("--weights", weights, "--model", "cycle_gan", "--dataroot", "."))
    with pytest.raises(UserError, match="leave --model out"):
        TestingSession(options)


def test_training_goes_on_when_the_file_it_began_from_is_gone(
    weights: pathlib.Path, photo: np.ndarray, train: Callable[..., int], tmp_path: pathlib.Path
) -> None:
    for number in range(2):
        write_image(tmp_path / f"photos/{number}.png", photo)
    where = ["--dataroot", tmp_path / "photos", "--checkpoints_dir", tmp_path, "--name", "tuned"]
    shown = ["--display_id", -1, "--no_html", "--num_threads", 0]
    given = words(*where, *shown, "--model", "sr", "--crop_size", 16, "--batch_size", 1, "--n_epochs_decay", 0)
    start = ["--netG", "pretrained", "--scale", 2, "--init_from", weights, "--n_epochs", 1]
    assert train(*given, *start) == 0
    weights.unlink()
    assert train(*given, "--continue_train", "--n_epochs", 2) == 0
    assert load_state(tmp_path / "tuned")["position"][2] == 2  # one image an epoch, the other is for testing
    asked = [*where[2:], "--model", "test", "--input", tmp_path / "photos", "--output", tmp_path / "large"]
    assert TranslatingSession(TestOptions().parse(words(*asked))).run() == 0
    assert read_image(tmp_path / "large/0.png").shape == (40, 54, 3)
