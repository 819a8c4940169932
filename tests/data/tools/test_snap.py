"""prepare.py snap: which pixels get the level, and what must be there."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import pytest

import prepare
from data.readers import read_image
from data.writers import write_image
from util.errors import UserError


@pytest.fixture
def maps(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return depth maps whose left half lies 30 below or above a level of 1000, and a mask of the upper half."""
    for number, left in enumerate((970, 1030)):
        depth = np.full((4, 6, 1), 3000, np.uint16)
        depth[:, :3] = left
        write_image(tmp_path / f"depth/s{number}.png", depth)
        mask = np.full((4, 6, 1), 100, np.uint16)
        mask[:2] = 900
        write_image(tmp_path / f"masks/images/s{number}_background.png", mask)
        write_image(tmp_path / f"levels/images/s{number}_fake_B.png", np.full((4, 6, 1), 1000, np.uint16))
    return tmp_path


def snap(monkeypatch: pytest.MonkeyPatch, maps: pathlib.Path, *words: object) -> list[np.ndarray]:
    folders = ["--depth", maps / "depth", "--levels", maps / "levels", "--out", maps / "out"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in ["prepare.py", "snap", *folders, *words]])
    prepare.main()
    return [read_image(maps / f"out/s{number}.png")[..., 0] for number in range(2)]


def test_pixels_near_the_level_snap(maps: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for image in snap(monkeypatch, maps, "--tolerance", 30):
        assert image.dtype == np.uint16 and (image[:, :3] == 1000).all() and (image[:, 3:] == 3000).all()


def test_too_far_is_far(maps: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = snap(monkeypatch, maps, "--tolerance", 29)
    assert first[0, 0] == 970 and second[0, 0] == 1030


def test_what_the_mask_says_snaps(maps: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = snap(monkeypatch, maps, "--mask", maps / "masks")
    assert (first[:2] == 1000).all() and (first[2:, :3] == 970).all() and (first[2:, 3:] == 3000).all()


def test_mistakes_are_one_line(maps: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--tolerance or --mask: give one of them"):
        snap(monkeypatch, maps)
    write_image(maps / "masks/images/s1_background.png", np.zeros((2, 2, 1), np.uint16))
    with pytest.raises(UserError, match=r"s1_background\.png: another size than its depth map"):
        snap(monkeypatch, maps, "--mask", maps / "masks")
    assert not (maps / "out").exists()
    (maps / "levels/images/s0_fake_B.png").unlink()
    with pytest.raises(UserError, match=r"--levels .*: no 's0' \(1 missing\)"):
        snap(monkeypatch, maps, "--tolerance", 30)
