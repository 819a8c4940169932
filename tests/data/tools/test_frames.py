"""prepare.py frames: pictures out of a video."""

from __future__ import annotations

import pathlib
import sys

import cv2
import numpy as np
import pytest

import prepare
from data.readers import read_image
from data.tools.frames import frames_of
from util.errors import UserError


@pytest.fixture
def video(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return 3.2 seconds of 10 pictures each, whose brightness is 7 times their number, red at last."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 32))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for number in range(32):
        colour = (7 * number,) * 3 if number < 30 else (0, 0, 200)
        writer.write(np.full((32, 48, 3), colour, np.uint8))
    writer.release()
    return path


def _call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", "frames", *map(str, arguments)])
    prepare.main()


def test_a_picture_a_second(
    video: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _call(monkeypatch, video, "--out", tmp_path / "out")
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == [f"clip_{second:06d}000.png" for second in range(4)]
    means = [read_image(tmp_path / "out" / name).mean() for name in files[:3]]
    assert means == pytest.approx([0, 70, 140], abs=4)
    red = read_image(tmp_path / "out" / files[3])
    assert red[..., 0].mean() > 150 > 40 > red[..., 2].mean(), "colours are in RGB order"
    assert "4 pictures; train with: --model sr --dataroot" in capsys.readouterr().out


@pytest.mark.parametrize(("fps", "count"), [(0.5, 2), (2.5, 8), (10, 32), (60, 32)])
def test_other_rates(video: pathlib.Path, fps: float, count: int) -> None:
    times = [time for time, _ in frames_of(video, fps)]
    assert len(times) == count and times[0] == 0
    assert np.allclose(np.diff(times), max(1 / fps, 0.1))


def test_mistakes_are_one_line_and_leave_nothing(
    video: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"no video" * 100)
    out = tmp_path / "out"
    for arguments, message in (
        ((tmp_path / "none.mp4", "--out", out), "none.mp4: no such video"),
        ((noise, "--out", out), "noise.mp4: not a readable video"),
        ((video, "--out", out, "--fps", 0), "--fps 0: give a number above 0"),
        ((video, "--out", tmp_path), "already there"),
    ):
        with pytest.raises(UserError, match=message):
            _call(monkeypatch, *arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.avi", "noise.mp4"]
