"""What a training settles before its first step: the batch that fits, the precision, and what it tells of memory."""

from __future__ import annotations

import json
import pathlib

import pytest

from commands import trainer
from commands.training import TrainingSession
from options.train_options import TrainOptions


def start(tmp_path: pathlib.Path, aligned: pathlib.Path, tiny: list[str], *more: str) -> tuple[TrainingSession, dict]:
    words = ["--model", "template", "--dataroot", str(aligned), "--checkpoints_dir", str(tmp_path), "--name", "run"]
    session = TrainingSession(TrainOptions().parse([*words, *tiny, "--max_steps", "1", *more]))
    assert session.run() == 0
    saved = json.loads((tmp_path / "run" / "options.json").read_text())
    return session, saved.get("options", saved)


def test_an_automatic_batch_is_settled_and_saved(
    tmp_path: pathlib.Path,
    aligned: pathlib.Path,
    tiny: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer, "_STEPS_PER_EPOCH", 1)
    session, saved = start(tmp_path, aligned, tiny, "--batch_size", "auto")
    assert session.options.values["batch_size"] == 4, "six images: the largest power of two"
    assert saved["batch_size"]["value"] == 4
    assert "at --batch_size 4, of" in capsys.readouterr().out


def test_little_room_gives_a_small_batch_and_a_word_of_warning(
    tmp_path: pathlib.Path,
    aligned: pathlib.Path,
    tiny: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer, "_STEPS_PER_EPOCH", 1)
    monkeypatch.setattr(trainer, "free_memory", lambda device: 0)
    session, _ = start(tmp_path, aligned, tiny, "--batch_size", "auto")
    assert session.options.values["batch_size"] == 1
    assert "likely too much; use a smaller --batch_size or --crop_size" in capsys.readouterr().out


def test_the_settled_precision_is_saved(tmp_path: pathlib.Path, aligned: pathlib.Path, tiny: list[str]) -> None:
    _, saved = start(tmp_path, aligned, tiny, "--precision", "auto")
    assert saved["precision"]["value"] in ("fp32", "bf16"), "so that a resume computes alike on any machine"
