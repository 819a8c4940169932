"""docs/competition.md, from the first command to the zip, on tiny data and networks."""

from __future__ import annotations

import importlib
import pathlib
import shlex
import sys
import zipfile

import pytest

from tests.docs.pages import ROOT, code_blocks

_LENGTH = "--max_steps 2 --gpu_ids -1 --num_threads 0 --no_html --display_id -1 --val_freq 0"
#: flags that come after those of the page, and so win
TINY = {
    "demo": "--count 12 --size 32",
    "pix2pix": f"--num_downs 3 --ngf 4 {_LENGTH}",
    "cycle_gan": f"--ngf 4 --ndf 4 {_LENGTH}",
    "classify": f"--class_encoder test_convnext {_LENGTH}",
    "test.py": "--gpu_ids -1",
}


def commands() -> list[list[str]]:
    """Return the page's commands in order, each with sizes that a test can bear."""
    page = ROOT / "docs" / "competition.md"
    lines = [line for block in code_blocks(page) for line in block.splitlines()]
    return [smaller(shlex.split(line)[1:]) for line in lines if line.startswith("python ") and " -m " not in line]


def smaller(words: list[str]) -> list[str]:
    """Return a command with flags that make it short; the page's own sizes are for machines with time."""
    key = next((name for name in TINY if name in words), "")
    return [*words, *shlex.split(TINY.get(key, ""))]


def test_the_page_leads_to_a_submission(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands():
        monkeypatch.setattr(sys, "argv", words)
        code = importlib.import_module(words[0].removesuffix(".py")).main()
        assert not code, shlex.join(words)
    with zipfile.ZipFile("submission.zip") as archive:
        assert archive.namelist() == ["r0000.png", "r0001.png"]
    out = capsys.readouterr().out
    assert "unet_1" in out and (tmp_path / "results/leaderboard/leaderboard.csv").is_file()
