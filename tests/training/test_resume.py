"""A training that was interrupted and continued equals one that was not, to the last bit."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from commands.training import TrainingSession
from models import MODELS
from options.train_options import TrainOptions
from tests.training.runs import METHODS, VARIANTS, assert_same_run, log
from training import rehearsal
from training.checkpoint import load_state
from training.previews import Previewer
from training.trainer import Trainer
from training.update import Updater

Train = Callable[..., int]


def test_every_method_is_interrupted_below() -> None:
    assert set(METHODS) | VARIANTS == set(MODELS.names()) - {"test"}


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


@pytest.mark.parametrize("factor", [1.0, float("nan")], ids=["good", "bad"])
def test_rehearsing_leaves_no_trace(
    train: Train, words: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    real, rehearsed = rehearsal.rehearse, list[int]()

    def rehearse(updater: Updater, batch: Any) -> Any:
        rehearsed.append(len(batch["A"]))
        return real(updater, batch | {"A": factor * batch["A"]})

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    train(*words("pix2pix", "rehearsed", "--max_steps", 3, "--on_nan", "stop"))
    assert len(rehearsed) >= 2
    monkeypatch.setattr(Trainer, "rehearse", lambda *_: [0.01])
    train(*words("pix2pix", "plain", "--max_steps", 3, "--on_nan", "stop"))
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
        rates.append(self.optimizers["G"].rate)
        return real(self, batch, number)

    monkeypatch.setattr(Updater, "step", step)
    monkeypatch.setattr(Trainer, "rehearse", lambda *_: [0.01])
    train(*words("template", "run", "--lr", "0.1"))
    assert rates == pytest.approx([0.1] * 3 + [0.05] * 3)


