"""The benchmark of quality at equal time trains both loops side by side and judges both alike."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality import rate, section

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_rate_stays_and_then_falls() -> None:
    assert [rate(share) for share in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([1.0, 1.0, 0.5, 0.0])


def test_section_shows_the_range_over_seeds() -> None:
    runs = [{loop: {"steps": steps, "psnr": 20.0 + steps} for loop in ("textbook", "ours")} for steps in (1, 3)]
    text = section({10.0: runs}, "command")
    assert "| 10 | textbook | 2 (1 to 3) | 22.00 (21.00 to 23.00) |" in text and text.count("| ours |") == 1


def test_both_loops_are_trained_and_judged(tmp_path: pathlib.Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for number in range(2):
            pixels = np.random.default_rng(number).integers(0, 255, (144, 288, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / part / f"{number}.png")
    command = [sys.executable, "-m", "benchmarks.quality", "--dataroot", str(tmp_path), "--minutes", "0.25"]
    command += ["--netG", "unet_128", "--crop_size", "128", "--cache", "off"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| 0.25")]
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert [row[2] for row in rows] == ["textbook", "ours"], done.stdout
    assert all(float(row[4]) > 3 for row in rows), done.stdout  # PSNR, even where no step fitted into the time
