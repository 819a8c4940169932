"""What goes wrong while a run is saved or loaded costs no step that was saved, and makes no half runs."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

import models.files
from commands.training import TrainingSession
from options.train_options import TrainOptions
from tests.training.runs import assert_equal, assert_same_run, log
from training.checkpoint import load_state
from training.trainer import Trainer
from training.update import Updater
from util.errors import UserError

Train = Callable[..., int]


def test_a_damaged_state_goes_back_one_save(
    train: Train, words: Any, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(*words("template", "whole"))
    train(*words("template", "parts", "--max_steps", 4, "--save_latest_freq", 2))
    (tmp_path / "parts" / "state.pth").write_bytes(b"damaged")
    train(*words("template", "parts", "--continue_train"))
    assert "damaged" in capsys.readouterr().err
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("written", [0, 1, 3, 4, 6])
def test_a_crash_between_the_state_and_its_weight_files_is_repaired(
    train: Train, words: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    flags = ["--save_epoch_freq", 1]  # the first save, after 3 steps, is of the state, 4 x latest and 4 x epoch 1
    train(*words("cycle_gan", "whole", *flags, "--max_steps", 3))
    real, files = models.files.torch.save, []

    def save(state: Any, file: Any) -> None:
        if "format" not in state:
            files.append(state)
        if len(files) > written:
            raise Crash
        real(state, file)

    monkeypatch.setattr(models.files.torch, "save", save)
    with pytest.raises(Crash):
        train(*words("cycle_gan", "parts", *flags, "--max_steps", 3))
    monkeypatch.undo()
    (tmp_path / "parts" / ".01234567.latest_net_D_A.pth.tmp").write_bytes(b"what a kill leaves behind")
    assert train(*words("cycle_gan", "parts", *flags, "--max_steps", 3, "--continue_train")) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert not list((tmp_path / "parts").glob(".*"))


class Crash(BaseException):
    """Stands for a kill: nothing in the program catches it."""


def test_weights_that_were_deleted_come_back(train: Train, words: Any, tmp_path: pathlib.Path) -> None:
    train(*words("template", "run", "--max_steps", 2))
    content = (tmp_path / "run" / "latest_net_G.pth").read_bytes()
    (tmp_path / "run" / "latest_net_G.pth").unlink()
    train(*words("template", "run", "--max_steps", 2, "--continue_train"))
    assert (tmp_path / "run" / "latest_net_G.pth").read_bytes() == content


def test_half_a_step_is_not_saved(
    train: Train, words: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.pix2pix_model import Pix2Pix

    more = ["--batch_size", 1, "--save_latest_freq", 2]
    train(*words("pix2pix", "whole", *more))
    train(*words("pix2pix", "parts", *more, "--max_steps", 3))
    before = (tmp_path / "parts" / "state.pth").read_bytes()

    def no_room(*_: object) -> None:  # the discriminator has been updated by then
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(TrainingSession, "_announce", lambda *_: None)
    monkeypatch.setattr(Trainer, "rehearse", lambda *_: [0.1])
    monkeypatch.setattr(Pix2Pix, "loss_G", no_room)
    with pytest.raises(UserError, match="out of memory with one image"):
        train(*words("pix2pix", "parts", *more, "--continue_train"))
    assert (tmp_path / "parts" / "state.pth").read_bytes() == before
    monkeypatch.undo()
    train(*words("pix2pix", "parts", "--batch_size", 1, "--continue_train"))
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_vanished_folder_is_not_made_anew(
    train: Train, words: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = tmp_path / "away"
    real = Updater.step

    def step(self: Updater, batch: Any, number: int) -> Any:
        if number == 2 and not away.exists():
            (tmp_path / "run").rename(away)
        return real(self, batch, number)

    monkeypatch.setattr(Updater, "step", step)
    with pytest.raises(UserError, match="vanished"):
        train(*words("template", "run"))
    assert not (tmp_path / "run").exists()


def test_a_write_that_fails_once_costs_no_weight_file(
    train: Train, words: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The save that is tried again owes all files of the first, those named by the epoch too."""
    flags = ["--save_epoch_freq", 1]
    train(*words("template", "whole", *flags))
    for failing in range(7):  # the state, latest_net_G, 1_net_G, then the whole save of the second epoch, then none
        monkeypatch.setattr(models.files.torch, "save", failing_once(models.files.torch.save, failing))
        name = f"parts{failing}"
        with pytest.raises(UserError, match="cannot be saved") if failing < 6 else contextlib.nullcontext():
            train(*words("template", name, *flags))
        monkeypatch.undo()
        train(*words("template", name, *flags, "--continue_train"))
        assert_same_run(tmp_path / "whole", tmp_path / name)
        assert load_state(tmp_path / name)["labels"] == ["latest", "2"]


def failing_once(real: Callable[..., None], number: int) -> Callable[..., None]:
    calls = itertools.count()

    def save(state: Any, file: Any) -> None:
        if next(calls) == number:
            raise OSError(28, "No space left on device")
        real(state, file)

    return save


def test_a_folder_that_vanishes_between_two_weight_files_is_not_made_anew(
    train: Train, words: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, away = models.files.atomic_file, tmp_path / "away"

    def atomic_file(path: pathlib.Path, **how: bool) -> Any:
        if path.name == "latest_net_G_B.pth" and not away.exists():
            (tmp_path / "run").rename(away)
        return real(path, **how)

    monkeypatch.setattr(models.files, "atomic_file", atomic_file)
    with pytest.raises(UserError, match="vanished"):
        train(*words("cycle_gan", "run", "--max_steps", 1))
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    away.rename(tmp_path / "run")
    assert train(*words("cycle_gan", "run", "--max_steps", 1, "--continue_train")) == 0
    assert len(list((tmp_path / "run").glob("latest_net_*.pth"))) == 4


def test_a_killed_loading_process_changes_nothing(
    train: Train, words: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    train(*words("template", "whole"))
    step = Updater.step

    def disturbed(self: Updater, batch: Any, number: int) -> Any:
        if number == 1:
            for process in multiprocessing.active_children():
                process.kill()
        return step(self, batch, number)

    monkeypatch.setattr(Updater, "step", disturbed)
    train(*words("template", "disturbed", "--num_threads", 2))
    assert_same_run(tmp_path / "whole", tmp_path / "disturbed")
    assert "note: a process that loads images was killed" in capfd.readouterr().err


def test_a_run_that_was_killed_before_its_first_save_begins_again(words: Any, train: Train, capsys: Any) -> None:
    whole, killed = words("template", "whole"), words("template", "killed")
    assert train(*whole) == 0
    session = TrainingSession(TrainOptions().parse([*killed, "--max_steps", "1"]))
    assert session.run() == 0
    for path in [*session.folder.glob("state*.pth"), *session.folder.glob("*_net_*.pth")]:
        path.unlink()  # as if the kill had come before them
    assert train(*killed, "--max_steps", "inf", "--continue_train") == 0
    assert "stopped before its first save; it begins again" in capsys.readouterr().out
    folders = [session.folder.with_name(name) for name in ("whole", "killed")]
    assert_equal(*(load_state(folder)["update"] for folder in folders))
    assert log(folders[0]) == log(folders[1])


def test_weights_without_a_state_are_not_begun_again(words: Any, train: Train) -> None:
    killed = words("template", "killed")
    assert train(*killed, "--max_steps", "1") == 0
    folder = TrainingSession(TrainOptions().parse(killed)).folder
    for path in folder.glob("state*.pth"):
        path.unlink()
    with pytest.raises(UserError, match="nothing to continue"):
        train(*killed, "--continue_train")
