"""Super-resolution from the command line: train, measure beside bicubic, enlarge a folder of photos."""

from __future__ import annotations

import csv
import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import a2b
from commands.testing import TestingSession
from commands.training import TrainingSession
from commands.translating import TranslatingSession
from data import painting
from data.bicubic import enlarge, shrink
from data.readers import read_image
from data.writers import write_image
from inference import translator as translating
from options.test_options import TestOptions
from options.train_options import TrainOptions
from training.loggers.jsonl import read
from util.errors import UserError

TINY = "--model sr --netG srcnn --ngf 4 --crop_size 24 --gpu_ids -1 --num_threads 0 --cache off"
QUIET = ["--display_id", "-1", "--no_html"]


def _photo(seed: int, height: int = 40, width: int = 52, channels: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((height // 4 + 1, width // 4 + 1, channels)) * 255
    return enlarge(coarse, 4)[:height, :width].clip(0, 255).astype(np.uint8)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    torch.set_num_threads(1)
    for number in range(4):
        write_image(tmp_path / f"photos/{number}.png", _photo(number))
    return tmp_path


def _train(root: pathlib.Path, *words: str) -> None:
    paths = ["--dataroot", str(root / "photos"), "--checkpoints_dir", str(root), "--name", "run", "--max_steps", "2"]
    assert TrainingSession(TrainOptions().parse([*TINY.split(), *QUIET, *paths, *words])).run() == 0


def _test(root: pathlib.Path, *words: str) -> dict[str, Any]:
    paths = ["--checkpoints_dir", str(root), "--results_dir", str(root / "results"), "--name", "run"]
    data = ["--dataroot", str(root / "photos"), "--phase", "all", "--gpu_ids", "-1"]
    assert TestingSession(TestOptions().parse([*paths, *data, *words])).run() == 0
    return json.loads((root / "results/run/all_latest/metrics.json").read_text())


def _make_bicubic(root: pathlib.Path) -> None:
    """Let the run's SRCNN be bicubic enlargement and nothing else, but for a brighter shade."""
    path = root / "run/latest_net_G.pth"
    weights = torch.load(path)
    for name, value in weights.items():
        value.zero_()
        if name.endswith("weight"):
            value[0, 0, value.shape[2] // 2, value.shape[3] // 2] = 1.0
    weights["conv3.bias"] += 4 / 255
    torch.save(weights, path)


def test_a_network_of_y_is_measured_beside_bicubic_and_shown_in_colour(
    root: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(root, "--scale", "3", "--input_nc", "1", "--output_nc", "1", "--patches_per_image", "3")
    _make_bicubic(root)
    capsys.readouterr()
    metrics = _test(root)
    assert metrics["count"] == 4 and set(metrics["images"]["0"]) >= {"psnr", "ssim", "psnr_y", "ssim_y"}
    ours, simple = metrics["images"]["2"], metrics["beside"]["bicubic"]["2"]
    error = [255**2 * 10 ** (-row["psnr_y"] / 10) for row in (ours, simple)]
    assert error[0] == pytest.approx(error[1] + 16, rel=0.15), "Y is 4 levels brighter than bicubic's"
    assert metrics["baselines"]["bicubic"]["psnr_y"] > metrics["mean"]["psnr_y"]
    assert metrics["better"]["bicubic"]["psnr_y"] == 0
    assert "better than bicubic, of 4 images: PSNR 0" in capsys.readouterr().out
    folder = root / "results/run/all_latest"
    with (folder / "metrics.csv").open() as file:
        row = next(iter(csv.DictReader(file)))
    assert float(row["bicubic_psnr_y"]) == pytest.approx(metrics["beside"]["bicubic"]["0"]["psnr_y"], rel=1e-5)
    fake, bicubic = (read_image(folder / f"images/1_{label}.png").astype(int) for label in ("fake_B", "bicubic"))
    assert fake.shape == (39, 51, 3) and np.abs((fake - bicubic) - 4 * 255 / 219).mean() < 1
    page = (folder / "index.html").read_text()
    assert "bicubic: " in page and "better than bicubic, of 4 images" in page and "1_bicubic.png" in page


def test_the_val_split_is_measured_as_the_test_is(root: pathlib.Path) -> None:
    for number, phase in enumerate(("train", "train", "val")):
        write_image(root / f"split/{phase}/{number}.png", _photo(number))
    data = ["--dataroot", str(root / "split"), "--scale", "3"]
    _train(root, *data, "--input_nc", "1", "--output_nc", "1", "--val_freq", "1", "--best_metric", "psnr_y")
    records = [record["losses"] for record in read(root / "run/losses.jsonl")]
    values = next(losses for losses in records if "val_psnr_y" in losses)
    paths = ["--checkpoints_dir", str(root), "--results_dir", str(root / "results"), "--name", "run"]
    words = [*paths, *data[:2], "--phase", "val", "--gpu_ids", "-1", "--epoch", "best"]
    assert TestingSession(TestOptions().parse(words)).run() == 0
    metrics = json.loads((root / "results/run/val_best/metrics.json").read_text())
    best = json.loads((root / "run/best.json").read_text())
    assert best["metric"] == "psnr_y" and best["value"] == pytest.approx(metrics["mean"]["psnr_y"], rel=1e-4)
    for metric in ("psnr", "psnr_y"):
        expected = metrics["baselines"]["bicubic"][metric]
        assert values[f"val_{metric}_bicubic"] == pytest.approx(expected, rel=1e-4)


def test_a_folder_of_mixed_photos_is_enlarged_under_the_same_names(root: pathlib.Path) -> None:
    _train(root, "--scale", "2")
    _make_bicubic(root)
    shapes = {"a.png": (31, 45, 3), "sub/b.jpg": (50, 20, 3), "c.webp": (9, 70, 3), "grey.png": (24, 24, 1)}
    for name, shape in shapes.items():
        path = root / "mixed" / name
        write_image(path.with_suffix(".png"), _photo(1, *shape))
        if path.suffix != ".png":
            Image.open(path.with_suffix(".png")).save(path)
            path.with_suffix(".png").unlink()
    write_image(root / "mixed/deep.tif", _photo(1).astype(np.uint16) * 257)
    (root / "mixed/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    words = ["--checkpoints_dir", str(root), "--name", "run", "--gpu_ids", "-1"]
    words += ["--input", str(root / "mixed"), "--output", str(root / "large")]
    assert TranslatingSession(TestOptions().parse(words)).run() == 1, "one file is broken"
    made = {path.relative_to(root / "large").as_posix() for path in (root / "large").rglob("*.*")}
    assert made == {"a.png", "sub/b.png", "c.png", "grey.png", "deep.png"}
    for name, (height, width, _) in shapes.items():
        image = read_image((root / "large" / name).with_suffix(".png"))
        assert image.shape == (2 * height, 2 * width, 3) and image.dtype == np.uint8
    deep = read_image(root / "large/deep.png")
    assert deep.dtype == np.uint16 and deep.shape == (80, 104, 3)


def _shrunken(root: pathlib.Path, scale: int) -> None:
    """Write small versions of the photos, colour and grey, and a deep one with alpha as small/0.png."""
    write_image(root / "photos/grey.png", _photo(9, channels=1))
    for path in sorted((root / "photos").glob("*.png")):
        image = read_image(path)
        height, width = (side - side % scale for side in image.shape[:2])
        write_image(path, image[:height, :width])
        write_image(root / "small" / path.name, shrink(image[:height, :width], scale))


def test_a_network_of_y_gives_a_folder_of_photos_its_colours_as_the_data_set_does(root: pathlib.Path) -> None:
    _train(root, "--scale", "3", "--input_nc", "1", "--output_nc", "1")
    _make_bicubic(root)
    _shrunken(root, 3)
    _test(root, "--dir_A", "../small", "--dir_B", ".")
    words = ["--checkpoints_dir", str(root), "--name", "run", "--gpu_ids", "-1"]
    words += ["--input", str(root / "small"), "--output", str(root / "large")]
    assert TranslatingSession(TestOptions().parse(words)).run() == 0
    for name in ("0", "3", "grey"):
        measured = read_image(root / f"results/run/all_latest/images/{name}_fake_B.png").astype(int)
        large = read_image(root / f"large/{name}.png").astype(int)
        assert large.shape == measured.shape and large.shape[2] == (1 if name == "grey" else 3)
        assert np.abs(large - measured).max() <= 1
    target = read_image(root / "photos/0.png").astype(int)
    assert np.abs(large - target.mean()).max() > 20 and np.abs(read_image(root / "large/0.png") - target).mean() < 13


def test_a_network_of_y_keeps_depth_drops_alpha_and_paints_in_parts(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _train(root, "--scale", "2", "--input_nc", "1", "--output_nc", "1")
    _make_bicubic(root)
    translate = a2b.load(root / "run", gpu_ids="-1")
    photo = _photo(5, 40, 300)
    deep = translate(np.dstack([photo, photo[..., :1]]).astype(np.uint16) * 257)
    assert deep.shape == (80, 600, 3) and deep.dtype == np.uint16
    assert np.abs(deep / 257.0 - translate(photo)).max() < 2.5, "Y of 8 bits is rounded before and after the network"
    assert translate(Image.fromarray(photo)).mode == "RGB" and translate(Image.fromarray(photo[..., 0])).mode == "L"
    with pytest.raises(UserError, match="do not tell the scale; name the run's folder in its place"):
        a2b.load(root / "run/latest_net_G.pth")
    shutil.copy(root / "run/latest_net_G.pth", root / "net_x2.pth")
    assert a2b.load(root / "net_x2.pth", gpu_ids="-1")(photo[..., 0]).shape == (80, 600)
    monkeypatch.setattr(translating, "fits_in_memory", lambda *_: False)
    monkeypatch.setattr(painting, "_AT_ONCE", 2000)
    write_image(root / "photo.png", photo)
    write_image(root / "grey.png", photo[..., :1])
    faded = np.dstack([photo[..., :1], photo[..., 1:2]])
    Image.fromarray(faded, "LA").save(root / "faded.png")
    assert read_image(root / "faded.png").shape == (40, 300, 2)
    for name, image in (("photo", photo), ("grey", photo[..., :1]), ("faded", faded)):
        assert translate(image).shape == (80, 600, 3 if name == "photo" else 1)
        translate.file(root / f"{name}.png", root / f"{name}_large.png")
        assert np.abs(read_image(root / f"{name}_large.png").astype(int) - translate(image)).max() <= 1


def test_a_flat_folder_that_the_run_does_not_know_is_said_to_be_held_out_in_part(
    root: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(root, "--scale", "2")
    shutil.copytree(root / "photos", root / "others")
    paths = ["--checkpoints_dir", str(root), "--results_dir", str(root / "results"), "--name", "run", "--gpu_ids", "-1"]
    shown = {}
    for name, phase in (("photos", []), ("others", []), ("others", ["--phase", "all"])):
        words = [*paths, "--dataroot", str(root / name), *phase]
        assert TestingSession(TestOptions().parse(words)).run() == 0
        shown[name, bool(phase)] = "--phase all takes every one" in capsys.readouterr().err
    assert shown == {("photos", False): False, ("others", False): True, ("others", True): False}


def test_photos_without_targets_are_enlarged_whole(root: pathlib.Path) -> None:
    _train(root, "--scale", "2")
    words = ["--model", "test", "--dataroot", str(root / "photos"), "--name", "run", "--gpu_ids", "-1"]
    words += ["--checkpoints_dir", str(root), "--results_dir", str(root / "results")]
    assert TestingSession(TestOptions().parse(words)).run() == 0
    assert read_image(root / "results/run/test_latest/images/3_fake.png").shape == (80, 104, 3)


def test_a_network_of_another_scale_is_refused_in_one_line(root: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--scale 2: targets are 2 times as large as inputs, but --netG resnet_6"):
        words = "--model pix2pix --dataset_mode super_resolution --netG resnet_6blocks --scale 2 --crop_size 24"
        _train(root, *words.split())


def test_crops_are_of_the_large_image(root: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--crop_size 25 must be divisible by --scale 2; try --crop_size 24"):
        _train(root, "--scale", "2", "--crop_size", "25")
