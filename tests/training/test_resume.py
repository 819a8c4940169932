"""A training that was interrupted and continued equals one that was not, to the last bit."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

import models.files
from commands.training import TrainingSession
from models import MODELS
from options.train_options import TrainOptions
from training.checkpoint import load_state
from training.previews import Previewer
from training.trainer import Trainer
from training.update import Updater
from util.errors import UserError

Train = Callable[..., int]
EPOCHS = ["--n_epochs", "1", "--n_epochs_decay", "1", "--batch_size", "2"]  # 2 epochs of 3 steps of 2 images
PATCHES = ["--preprocess", "crop", "--crop_size", "32", "--scale", "2"]
METHODS = {
    "pix2pix": ["--no_dropout", "false", "--pool_size", "3"],
    "cycle_gan": ["--pool_size", "3", "--gan_mode", "wgangp"],
    "template": ["--preprocess", "crop", "--crop_size", "16"],
    "sr": [*PATCHES, "--netG", "fsrcnn", "--degradation", "real_esrgan"],
    "srgan": [*PATCHES, "--netG", "srresnet", "--lambda_VGG", "0", "--lambda_L1", "1"],
    "esrgan": [*PATCHES, "--netG", "edsr", "--n_blocks", "1", "--netD", "basic", "--lambda_VGG", "0"],
    "real_esrgan": [*PATCHES, "--netG", "compact", "--lambda_VGG", "0", "--ema_decay", "0.9"],
}


@pytest.fixture
def words(tmp_path: pathlib.Path, aligned: pathlib.Path, unaligned: pathlib.Path, tiny: list[str]) -> Any:
    def build(model: str, name: str, *more: object) -> list[str]:
        data = unaligned if model == "cycle_gan" else aligned
        where = ["--model", model, "--dataroot", data, "--checkpoints_dir", tmp_path, "--name", name]
        return [str(word) for word in [*where, *tiny, *EPOCHS, *METHODS[model], *more]]

    return build


def test_every_method_is_interrupted_below() -> None:
    assert set(METHODS) == set(MODELS.names()) - {"test"}


def log(folder: pathlib.Path) -> list[str]:
    """Return the losses of every step without times."""
    lines = (folder / "loss_log.txt").read_text().splitlines()
    return [line[: line.index("time")] + line[line.index(") ") :] for line in lines if line.startswith("(")]


def assert_equal(ours: Any, theirs: Any, place: str = "state") -> None:
    """Compare nested plain values; tensors bit by bit."""
    assert type(ours) is type(theirs), place
    if isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), place
    elif isinstance(ours, dict):
        assert list(ours) == list(theirs), place
        for key in ours:
            assert_equal(ours[key], theirs[key], f"{place}.{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), place
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_equal(one, other, f"{place}[{index}]")
    else:
        assert ours == theirs, place


def assert_same_run(one: pathlib.Path, other: pathlib.Path) -> None:
    states = [load_state(folder) for folder in (one, other)]
    for state in states:
        del state["labels"]  # a run that is saved twice at one position names only the second time's files
    assert_equal(*states)
    assert log(one) == log(other)
    files = sorted(path.name for path in one.glob("*_net_*.pth"))
    assert files == sorted(path.name for path in other.glob("*_net_*.pth"))
    for name in files:
        assert_equal(torch.load(one / name, weights_only=True), torch.load(other / name, weights_only=True), name)


@pytest.mark.parametrize("model", METHODS)
def test_continuing_twice_equals_one_go(train: Train, words: Any, tmp_path: pathlib.Path, model: str) -> None:
    assert train(*words(model, "whole")) == 0
    assert len(log(tmp_path / "whole")) == 6
    for stop in (1, 4, None):
        more = ["--max_steps", stop] if stop else []
        again = [] if stop == 1 else ["--continue_train"]
        assert train(*words(model, "parts", *more, *again)) == 0
        assert load_state(tmp_path / "parts")["position"][2] == (stop or 6)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_workers_change_nothing(train: Train, words: Any, tmp_path: pathlib.Path) -> None:
    train(*words("template", "alone"))
    train(*words("template", "parts", "--num_threads", 2, "--max_steps", 4))
    train(*words("template", "parts", "--num_threads", 2, "--continue_train"))
    assert_same_run(tmp_path / "alone", tmp_path / "parts")


def test_stopping_at_the_end_of_an_epoch_and_with_a_plateau(train: Train, words: Any, tmp_path: pathlib.Path) -> None:
    more = ["--lr_policy", "plateau", "--save_epoch_freq", 1]
    train(*words("template", "whole", *more))
    train(*words("template", "parts", *more, "--max_steps", 3))
    assert load_state(tmp_path / "parts")["position"] == (2, 0, 3, 6)
    train(*words("template", "parts", "--continue_train"))
    for label in ("1", "2", "latest"):
        assert (tmp_path / "parts" / f"{label}_net_G.pth").is_file()
    train(*words("template", "parts", *more, "--continue_train"))
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


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


def test_a_save_at_the_end_of_an_epoch_can_be_gone_on_with(train: Train, words: Any, tmp_path: pathlib.Path) -> None:
    from training.checkpoint import save_state

    train(*words("template", "whole"))
    train(*words("template", "parts", "--max_steps", 3))
    state = load_state(tmp_path / "parts")
    save_state(tmp_path / "parts", state | {"position": (1, 6, 3, 6)})  # as older versions did, and after some errors
    assert train(*words("template", "parts", "--continue_train")) == 0
    assert load_state(tmp_path / "parts")["position"] == load_state(tmp_path / "whole")["position"]


def test_more_epochs_go_on_from_a_finished_run(
    train: Train, words: Any, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(*words("template", "run"))
    train(*words("template", "run", "--continue_train"))
    assert "complete" in capsys.readouterr().out
    train(*words("template", "run", "--continue_train", "--n_epochs", 2))
    assert load_state(tmp_path / "run")["position"] == (4, 0, 9, 18)
    assert len(log(tmp_path / "run")) == 9


def test_the_first_epoch_may_have_a_later_number(train: Train, words: Any, tmp_path: pathlib.Path) -> None:
    train(*words("template", "run", "--epoch_count", 2))
    assert load_state(tmp_path / "run")["position"] == (3, 0, 3, 6)
    assert log(tmp_path / "run")[0].startswith("(epoch: 2, iters: 2")


def test_a_fresh_run_under_a_used_name_keeps_the_old_one(train: Train, words: Any, tmp_path: pathlib.Path) -> None:
    train(*words("template", "run", "--max_steps", 1))
    train(*words("template", "run", "--max_steps", 2))
    assert load_state(tmp_path / "run.old1")["position"][2] == 1
    assert load_state(tmp_path / "run")["position"][2] == 2


def test_rehearsing_leaves_no_trace(
    train: Train, words: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(*words("pix2pix", "rehearsed", "--max_steps", 3))
    monkeypatch.setattr(Trainer, "rehearse", lambda *_: [0.01])
    train(*words("pix2pix", "plain", "--max_steps", 3))
    assert_same_run(tmp_path / "rehearsed", tmp_path / "plain")


def test_previews_leave_no_trace(
    train: Train, words: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ["--no_html", "false", "--display_freq", 1, "--update_html_freq", 1]
    train(*words("pix2pix", "seen", "--max_steps", 3, *page))
    assert list((tmp_path / "seen" / "web" / "images").iterdir())
    monkeypatch.setattr(Previewer, "pictures", lambda *_: {})
    train(*words("pix2pix", "unseen", "--max_steps", 3, *page))
    assert_same_run(tmp_path / "seen", tmp_path / "unseen")


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


def test_the_time_is_estimated_before_the_first_step(
    words: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[str] = []
    monkeypatch.setattr(Trainer, "fit", lambda *_: printed.append(capsys.readouterr().out) or 0)
    TrainingSession(TrainOptions().parse(words("template", "run", "--max_steps", 5))).run()
    assert "estimated total: " in printed[0]
    assert "(5 steps of " in printed[0]


def test_what_is_saved_along_the_way(train: Train, words: Any, tmp_path: pathlib.Path) -> None:
    train(*words("cycle_gan", "run", "--save_latest_freq", 4, "--save_by_iter", "--save_epoch_freq", 1))
    labels = {path.name.removesuffix("_net_G_A.pth") for path in (tmp_path / "run").glob("*_net_G_A.pth")}
    assert labels == {"1", "2", "latest", "iter_4", "iter_8", "iter_12"}
    names = {path.name for path in (tmp_path / "run").glob("latest_net_*.pth")}
    assert names == {f"latest_net_{name}.pth" for name in ("G_A", "G_B", "D_A", "D_B")}
    assert (tmp_path / "run" / "train_opt.txt").is_file()


def test_the_rate_of_every_step_follows_the_schedule(train: Train, words: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    real = Updater.step

    def step(self: Updater, batch: Any, number: int) -> Any:
        rates.append(self.optimizers["G"].adam.param_groups[0]["lr"])
        return real(self, batch, number)

    monkeypatch.setattr(Updater, "step", step)
    monkeypatch.setattr(Trainer, "rehearse", lambda *_: [0.01])
    train(*words("template", "run", "--lr", "0.1"))
    assert rates == pytest.approx([0.1] * 3 + [0.05] * 3)


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
