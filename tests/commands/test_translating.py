"""test.py --input FILE --output FILE: files, folders and videos."""

from __future__ import annotations

import pathlib
import re
import subprocess
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import a2b
from commands.joined_runs import open_named
from commands.translating import TranslatingSession
from data.readers import read_image, read_info
from data.writers import write_image
from inference import folders, time_budget, video
from inference.domain import Domain
from inference.time_budget import Share, recorded_share
from models.files import save_networks
from options.resolve import Options
from options.test_options import TestOptions
from util.errors import UserError


def noise(height: int, width: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random((height, width, 3))
    return (values * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder with the run "tiny": weights alone."""
    folder = tmp_path_factory.mktemp("checkpoints")
    network = a2b.build_generator("resnet_6blocks", ngf=4, norm="batch", init_gain=0.1, no_dropout=True)
    dropping = a2b.build_generator("resnet_6blocks", ngf=4, norm="batch", init_gain=0.1)
    for name, generator in (("tiny", network), ("dropping", dropping)):
        (folder / name).mkdir()
        save_networks({"G": generator}, folder / name, "latest")
    return folder


@pytest.fixture
def translate(checkpoints: pathlib.Path) -> Callable[..., int]:
    def run(source: pathlib.Path, target: pathlib.Path, *words: object, name: str = "tiny") -> int:
        given = ["--name", name, "--checkpoints_dir", checkpoints, "--gpu_ids", "-1"]
        words = ("--input", source, "--output", target, *given, *words)
        return TranslatingSession(TestOptions().parse([str(word) for word in words])).run()

    return run


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_one_file_keeps_its_size_and_depth(translate: Callable[..., int], tmp_path: pathlib.Path, dtype: str,
                                           checkpoints: pathlib.Path) -> None:  # fmt: skip
    image = noise(37, 50, dtype)
    write_image(tmp_path / "in.png", image)
    assert translate(tmp_path / "in.png", tmp_path / "new" / "out.tif") == 0
    result = read_image(tmp_path / "new" / "out.tif")
    assert result.shape == image.shape and result.dtype == image.dtype
    assert np.array_equal(result, a2b.load(checkpoints / "tiny", gpu_ids="-1")(image))
    assert translate(tmp_path / "in.png", tmp_path / "new") == 0
    assert np.array_equal(read_image(tmp_path / "new" / "in.png"), result)


def test_a_folder_keeps_its_tree_goes_on_after_a_failure_and_takes_up_again(
    translate: Callable[..., int], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("a.png", "deep/a.png", "deep/b.tif", "z.png")):
        write_image(tmp_path / "in" / name, noise(20, 24, seed=seed))
    Image.fromarray(noise(20, 24)).save(tmp_path / "in" / "photo.jpg")
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    assert translate(tmp_path / "in", tmp_path / "out") == 1
    shown = capsys.readouterr()
    assert [line for line in shown.err.splitlines() if "bad.png" in line][0].startswith("failed: ")
    assert "5 of 6 files translated, 1 failed" in shown.out
    made = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*"))
    assert made == ["a.png", "deep/a.png", "deep/b.png", "photo.png", "z.png"]
    (tmp_path / "out" / "z.png").unlink()
    before = (tmp_path / "out" / "a.png").stat().st_mtime_ns
    (tmp_path / "in" / "bad.png").unlink()
    assert translate(tmp_path / "in", tmp_path / "out", "--skip_existing") == 0
    assert "1 of 5 files translated, 4 were there already" in capsys.readouterr().out
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == before


def test_a_bad_file_stops_where_that_is_asked_for(translate: Callable[..., int], tmp_path: pathlib.Path) -> None:
    for name in ("a.png", "c.png"):
        write_image(tmp_path / "in" / name, noise(20, 24))
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"b\.png"):
        translate(tmp_path / "in", tmp_path / "out", "--on_bad_file", "stop")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    with pytest.raises(UserError, match=r"--aspect_ratio 2\.0: only with --dataroot"):
        translate(tmp_path / "in", tmp_path / "out", "--aspect_ratio", "2")


def test_what_is_there_is_left_out_without_reading_its_source(
    translate: Callable[..., int], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A PNG gives a PNG in either depth; what a TIFF gives, only its header tells."""
    for name in ("v1.2.png", "b.jpg", "c.tif"):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(noise(20, 24)).save(tmp_path / "in" / name)
    assert translate(tmp_path / "in", tmp_path / "out") == 0
    read: list[str] = []
    monkeypatch.setattr(folders, "read_info", lambda path: read.append(path.name) or read_info(path))
    assert translate(tmp_path / "in", tmp_path / "out", "--skip_existing") == 0
    assert "0 of 3 files translated, 3 were there already" in capsys.readouterr().out and read == ["c.tif"]
    (tmp_path / "out" / "v1.2.png").unlink()
    (tmp_path / "out" / "c.png").rename(tmp_path / "out" / "c.tif")
    assert translate(tmp_path / "in", tmp_path / "out", "--skip_existing") == 0
    assert "2 of 3 files translated, 1 were there already" in capsys.readouterr().out


def test_no_result_takes_the_place_or_the_format_of_another(
    translate: Callable[..., int], tmp_path: pathlib.Path
) -> None:
    """A dot in a name begins no suffix: photo.jpg.png must not become a JPEG."""
    files = ("a.jpg", "a.png", "a_png.png", "photo.jpg.png", "photo.png", "photo.png.png")
    (tmp_path / "in").mkdir()
    for name in files:
        Image.fromarray(noise(8, 8)).save(tmp_path / "in" / name)
    assert translate(tmp_path / "in", tmp_path / "out") == 0
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["a_jpg.png", "a_png.png", "a_png_2.png", "photo.jpg.png", "photo.png", "photo.png.png"]
    assert translate(tmp_path / "in" / "photo.jpg.png", tmp_path / "one") == 0
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["photo.jpg.png"]


def test_only_the_first_so_many_files_are_translated(translate: Callable[..., int], tmp_path: pathlib.Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write_image(tmp_path / "in" / name, noise(8, 8))
    assert translate(tmp_path / "in", tmp_path / "out", "--num_test", 2) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def test_results_within_the_folder_that_is_read_are_not_translated_again(
    translate: Callable[..., int], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "in" / "a.png", noise(8, 8))
    assert translate(tmp_path / "in", tmp_path / "in" / "out") == 0
    assert translate(tmp_path / "in", tmp_path / "in" / "out", "--skip_existing") == 0
    assert "0 of 1 files translated, 1 were there already" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "in" / "out").iterdir()] == ["a.png"]
    with pytest.raises(UserError, match="--output .*in: results among the images would be translated next time"):
        translate(tmp_path / "in", tmp_path / "in" / ".." / "in")


@pytest.mark.parametrize(("dtype", "suffix", "beside"), [("uint8", ".jpg", ".png"), ("uint16", ".tif", ".tif")])
def test_the_uncertainty_lies_beside_the_mean_in_its_depth(
    translate: Callable[..., int], tmp_path: pathlib.Path, checkpoints: pathlib.Path,
    dtype: str, suffix: str, beside: str,
) -> None:  # fmt: skip
    image = noise(20, 24, dtype)
    write_image(tmp_path / "in.png", image)
    assert translate(tmp_path / "in.png", tmp_path / f"out{suffix}", "--mc_dropout", 3, name="dropping") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.png", f"out{suffix}", f"out_uncertainty{beside}"]
    predictor = open_named(dropping(checkpoints, "--mc_dropout", 3)).predictor()
    whole = Domain.whole(dtype, 3).range
    batch = {"A": torch.from_numpy(whole.normalize(image)).permute(2, 0, 1)[None]}
    deviation = (predictor(batch)["uncertainty"][0] + 1) / 2 * whole.high
    found = read_image(tmp_path / f"out_uncertainty{beside}")
    assert found.dtype == image.dtype and found.max() > 0
    assert np.abs(found - deviation.permute(1, 2, 0).numpy()).max() <= 0.51, "rounded to levels"


def dropping(checkpoints: pathlib.Path, *words: object) -> Options:
    given = ["--name", "dropping", "--checkpoints_dir", checkpoints, "--gpu_ids", "-1", "--input", ".", *words]
    return TestOptions().parse([str(word) for word in given])


def test_an_uncertainty_never_takes_the_place_of_a_result(
    translate: Callable[..., int], tmp_path: pathlib.Path
) -> None:
    for name in ("v1.2", "v1.2_uncertainty"):
        write_image(tmp_path / "in" / f"{name}.png", noise(8, 8))
    with pytest.raises(UserError, match=r"v1\.2_uncertainty is both a result and the uncertainty of .*v1\.2\.png"):
        translate(tmp_path / "in", tmp_path / "out", "--mc_dropout", 2, name="dropping")


def test_an_interrupted_folder_goes_on_with_what_its_time_budget_chose(
    translate: Callable[..., int], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / "in" / f"{name}.png", noise(20, 24))
    words = ("--tta", "x8", "--time_budget", "9s")
    monkeypatch.setattr(time_budget, "_seconds", lambda *_: 1.0)  # of 2 images: 4 views of each fit
    assert translate(tmp_path / "in", tmp_path / "out", *words) == 0
    assert recorded_share(tmp_path / "out") == Share(1, 4)
    (tmp_path / "out" / "b.png").unlink()
    monkeypatch.setattr(time_budget, "_seconds", lambda *_: 100.0)  # a busy machine, on which one view would fit
    assert translate(tmp_path / "in", tmp_path / "out", *words, "--skip_existing") == 0
    assert (tmp_path / "out" / "a.png").read_bytes() == (tmp_path / "out" / "b.png").read_bytes()
    assert translate(tmp_path / "in", tmp_path / "out", *words) == 0
    assert recorded_share(tmp_path / "out") == Share(1, 1), "begun anew"


def test_int8_is_not_judged_on_the_files_that_it_is_calibrated_on(
    translate: Callable[..., int], checkpoints: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: requirements-fast.txt")
    write_image(tmp_path / "in" / "a.png", noise(20, 24))
    fast = ["--input", tmp_path / "in", "--output", tmp_path / "out", "--backend", "onnxruntime", "--precision", "int8"]
    weights = ["--weights", checkpoints / "tiny" / "latest_net_G.pth", "--gpu_ids", "-1"]
    with pytest.raises(UserError, match="judged on images it is calibrated on"):
        translate(tmp_path / "in", tmp_path / "out", *fast[4:], "--calibration", tmp_path / "in")
    for more, message in ((["--calibration", tmp_path / "in"], "judged on images it is"), ([], "--weights takes")):
        with pytest.raises(UserError, match=message):
            TranslatingSession(TestOptions().parse([str(word) for word in [*weights, *fast, *more]])).run()


def test_tiles_give_the_same_file(translate: Callable[..., int], tmp_path: pathlib.Path) -> None:
    write_image(tmp_path / "in.png", noise(80, 90))
    assert translate(tmp_path / "in.png", tmp_path / "whole.png") == 0
    assert translate(tmp_path / "in.png", tmp_path / "tiles.png", "--tile_size", 32) == 0
    assert np.array_equal(read_image(tmp_path / "whole.png"), read_image(tmp_path / "tiles.png"))


@pytest.fixture
def clip(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a video of 3 frames of 48x32, 10 a second."""
    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (48, 32))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for seed in range(3):
        writer.write(noise(32, 48, seed=seed))
    writer.release()
    return tmp_path / "in.avi"


def test_a_video_is_translated_frame_by_frame(translate: Callable[..., int], clip: pathlib.Path) -> None:
    assert translate(clip, clip.with_name("out.avi")) == 0
    capture = cv2.VideoCapture(str(clip.with_name("out.avi")))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (3, 10)
    assert sorted(p.name for p in clip.parent.iterdir()) == ["in.avi", "out.avi"]


class FullDisk:
    """What OpenCV's writer is where the disk is full: it says nothing."""

    def __init__(self, path: pathlib.Path) -> None:
        path.touch()

    def write(self, frame: np.ndarray) -> None:
        pass

    def release(self) -> None:
        pass


def test_a_video_that_is_not_whole_is_none(
    translate: Callable[..., int], clip: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(video, "_writer", lambda path, rate, shape, target: FullDisk(path))
    assert translate(clip, clip.with_name("out.avi")) == 1
    assert "in.avi: nothing can be written to" in (shown := capsys.readouterr().err) and "0 of 3 frames" in shown
    assert [path.name for path in clip.parent.iterdir()] == ["in.avi"]


@pytest.mark.parametrize(
    ("source", "target", "words", "part"),
    [
        ("none.png", "out.png", [], "no such file or folder"),
        (".", "out.png", [], "must be one too"),
        ("in.png", "out.gif", [], "cannot write .gif"),
        ("in.png", "out.mp4", [], "cannot write .mp4"),
        ("clip.avi", "out.png", [], "cannot write .png; use one of .mp4"),
        ("in.png", "out.png", ["--model", "pix2pix"], "leave out --model pix2pix"),
        ("in.png", "out.png", ["--max_memory", "much"], "such as 2GB"),
        ("in.png", "out.png", ["--mc_dropout", "4"], "trained with dropout"),
    ],
)
def test_mistakes_are_one_line(
    translate: Callable[..., int], tmp_path: pathlib.Path, source: str, target: str, words: list[str], part: str
) -> None:
    write_image(tmp_path / "in.png", noise(8, 8))
    (tmp_path / "clip.avi").touch()
    with pytest.raises(UserError, match=part):
        translate(tmp_path / source, tmp_path / target, *words)


def test_a_format_that_cannot_hold_the_result_fails_that_file(
    translate: Callable[..., int], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "in.png", noise(8, 8, "uint16"))
    assert translate(tmp_path / "in.png", tmp_path / "out.jpg") == 1
    assert "out.jpg" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert translate(tmp_path / "in.png", tmp_path / "file" / "out.png") == 1
    assert re.search(r"in\.png: nothing can be written to .*file \(.*", capsys.readouterr().err)
    assert translate(tmp_path / "in.png", tmp_path / "in.png") == 1
    assert "overwritten by its own translation" in capsys.readouterr().err
    assert np.array_equal(read_image(tmp_path / "in.png"), noise(8, 8, "uint16"))


def test_the_command(
    checkpoints: pathlib.Path, tmp_path: pathlib.Path, script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    write_image(tmp_path / "in.png", noise(20, 20))
    words = ["--name", "tiny", "--checkpoints_dir", checkpoints, "--gpu_ids", -1]
    done = script("test.py", *words, "--input", tmp_path / "in.png", "--output", tmp_path / "out.png")
    assert done.returncode == 0 and "1 of 1 files translated" in done.stdout
    assert read_image(tmp_path / "out.png").shape == (20, 20, 3)
