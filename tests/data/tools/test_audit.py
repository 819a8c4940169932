"""What prepare.py audit sees beyond broken files: look-alikes in two phases, and pairs that are shifted."""

from __future__ import annotations

import pathlib

import cv2
import numpy as np
import pytest
from PIL import Image

from data.writers import write_image


def pictures(folder: pathlib.Path, count: int, seed: int = 0, size: int = 96) -> list[np.ndarray]:
    """Write images with blobs in them."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        noise = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), 4)
        made.append((255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8))
        write_image(folder / f"{number}.png", made[-1])
    return made


def test_audit_finds_a_test_image_that_was_compressed_and_brightened(call, tmp_path, capsys):
    made = pictures(tmp_path / "trainA", 6)
    pictures(tmp_path / "testA", 3, seed=1)
    assert call("audit", "--dataroot", tmp_path) == 0
    brighter = Image.fromarray((made[2] * 0.8 + 20).astype(np.uint8)).resize((80, 80))
    brighter.save(tmp_path / "testA/again.jpg", quality=40)
    Image.fromarray(made[4] // 2).save(tmp_path / "trainA/dark.png")
    assert call("audit", "--dataroot", tmp_path) == 1
    out = capsys.readouterr().out
    assert out.count("looks like") == 1 and "trainA/2.png: looks like" in out and "again.jpg in test" in out
    assert "note: 1 of 11 images look like another of their phase" in out


@pytest.mark.parametrize(
    ("down", "right", "words"), [(0, 0, "0 px right and 0 px down"), (-3, 5, "5 px right and 3 px up")]
)
@pytest.mark.parametrize("joined", [False, True])
def test_audit_estimates_the_shift_between_the_two_images_of_pairs(call, tmp_path, capsys, down, right, words, joined):
    for number, image in enumerate(pictures(tmp_path / "made", 8, size=128)):
        other = np.roll(255 - image, (down, right), (0, 1))  # another look of the same thing
        if joined:
            write_image(tmp_path / f"ab/train/{number}.png", np.hstack([image, other]))
        else:
            write_image(tmp_path / f"ab/a/{number}.png", image)
            write_image(tmp_path / f"ab/b/{number}.png", other)
    folders = () if joined else ("--dir_A", "a", "--dir_B", "b")
    assert call("audit", "--dataroot", tmp_path / "ab", *folders) == int((down, right) != (0, 0))
    assert f"B lies {words} of A, judged by the edges in 8 pairs" in capsys.readouterr().out


def test_audit_names_the_one_pair_that_is_off(call, tmp_path, capsys):
    for number, image in enumerate(pictures(tmp_path / "made", 8, size=128)):
        write_image(tmp_path / f"ab/a/{number}.png", image)
        write_image(tmp_path / f"ab/b/{number}.png", np.roll(image, 9 * (number == 5), 1))
    assert call("audit", "--dataroot", tmp_path / "ab", "--dir_A", "a", "--dir_B", "b") == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "may lie" in line]
    assert len(lines) == 1 and "5.png: B may lie 9 px right" in lines[0]


def test_audit_says_nothing_of_pairs_that_share_no_edges(call, tmp_path, capsys):
    pictures(tmp_path / "a", 6)
    pictures(tmp_path / "b", 6, seed=9)
    assert call("audit", "--dataroot", tmp_path, "--dir_A", "a", "--dir_B", "b") == 0
    assert " px " not in capsys.readouterr().out
