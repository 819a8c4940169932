"""The loop as a whole: a budget of time, growing crops, fixed weights, numbered saves, logs cut back on resume."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

import commands.trainer
from training.checkpoint import load_state
from training.loggers.jsonl import read
from training.loggers.text import position_of
from training.time_budget import TimeBudget
from training.update import Updater
from util.errors import UserError

Train = Callable[..., int]
Words = Callable[..., list[str]]


@pytest.fixture
def words(tmp_path: pathlib.Path, aligned: pathlib.Path, tiny: list[str]) -> Words:
    def build(name: str, *more: object) -> list[str]:
        where = ["--model", "template", "--dataroot", aligned, "--checkpoints_dir", tmp_path, "--name", name]
        return [str(word) for word in [*where, *tiny, "--batch_size", 2, *more]]

    return build


class Clock:
    """A clock that only update steps move, and a rehearsal as long as three of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.step_seconds, self.rates = 0.0, 1.0, list[float]()
        monkeypatch.setattr(commands.trainer, "TimeBudget", self.budget)
        real = Updater.step

        def step(updater: Updater, batch: Any, number: int) -> Any:
            self.seconds += self.step_seconds
            self.rates.append(updater.optimizers["G"].rate)
            return real(updater, batch, number)

        monkeypatch.setattr(Updater, "step", step)
        monkeypatch.setattr("training.trainer.Trainer.rehearse", self.rehearse)

    def rehearse(self, *_: object) -> list[float]:
        self.seconds += 3 * self.step_seconds
        return [2.0, 1.0]

    def budget(self, seconds: float, closing: Sequence[str], *_: object) -> TimeBudget:
        return TimeBudget(seconds, closing, now=lambda: self.seconds)


BUDGET = ["--time_budget", "40s", "--lr", "1", "--n_epochs", 1, "--n_epochs_decay", 1, "--preprocess", "crop",
          "--crop_size", 16]  # fmt: skip


def test_a_time_budget_decides_how_many_epochs_there_are(
    train: Train, words: Words, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    clock = Clock(monkeypatch)
    assert train(*words("run", *BUDGET)) == 0
    out = capsys.readouterr().out
    assert "time budget 40 s: 37 s left for about" in out, "the rehearsal counts"
    state = load_state(tmp_path / "run")
    epoch, _, steps, _ = state["position"]
    assert epoch > 8 and 30 <= steps <= 37
    assert clock.seconds <= 40
    rates = clock.rates
    assert rates[0] == 1 and rates[-1] < 0.1
    assert (tmp_path / "run" / "latest_net_G.pth").is_file()

    assert train(*words("run", "--continue_train")) == 0
    assert "complete: its time is used up; raise --time_budget" in capsys.readouterr().out
    assert load_state(tmp_path / "run")["position"] == state["position"]


def test_a_time_budget_goes_on_after_an_interruption(
    train: Train, words: Words, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    clock = Clock(monkeypatch)
    train(*words("run", *BUDGET, "--max_steps", 12))
    assert load_state(tmp_path / "run")["budget"]["used"] == 15
    clock.seconds, clock.step_seconds = 5000.0, 2.0  # later, on a slower machine
    capsys.readouterr()
    train(*words("run", "--continue_train"))
    assert "time budget 40 s: 21 s used, 19 s left for about" in capsys.readouterr().out
    assert clock.seconds - 5000 <= 25
    assert 17 <= load_state(tmp_path / "run")["position"][2] <= 22
    after = clock.rates[12:]
    assert after[0] <= clock.rates[11] and after[-1] < 0.2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--time_budget", "soon"], "--time_budget soon: .*36h"),
        (["--time_budget", "1h", "--progressive_sizes", "16,32"], "--progressive_sizes 16,32: .*--time_budget 1h"),
        (["--progressive_sizes", "16,32"], "--progressive_sizes 16,32: nothing is cropped by --preprocess none"),
        (["--lr_milestones", "10,x"], "--lr_milestones 10,x"),
    ],
)
def test_what_cannot_be_planned_is_refused(train: Train, words: Words, more: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(*words("run", *more))


def test_crops_and_weight_decay_grow_by_stages_also_after_a_resume(
    train: Train, words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float]] = []
    real = Updater.step

    def step(updater: Updater, batch: Any, number: int) -> Any:
        seen.append((batch["A"].shape[-1], updater.optimizers["G"].weight_decay))
        return real(updater, batch, number)

    monkeypatch.setattr(Updater, "step", step)
    monkeypatch.setattr("training.trainer.Trainer.rehearse", lambda *_: [0.01])
    sizes = ["--preprocess", "crop", "--crop_size", 32, "--progressive_sizes", "16,32"]
    decays = ["--progressive_weight_decay", "0,1e-3", "--n_epochs", 1, "--n_epochs_decay", 1]
    train(*words("run", *sizes, *decays, "--max_steps", 4))
    train(*words("run", *sizes, *decays, "--continue_train"))
    assert seen == [(16, 0.0)] * 3 + [(32, 1e-3)] * 3


def test_frozen_weights_stay_and_the_others_start_from_the_given_run(
    train: Train, words: Words, tmp_path: pathlib.Path, capsys: Any
) -> None:
    short = ["--n_epochs", 1, "--n_epochs_decay", 0, "--preprocess", "crop", "--crop_size", 16]
    train(*words("first", *short, "--seed", 5))
    capsys.readouterr()
    train(*words("second", *short, "--init_from", "first", "--freeze", "G.model.1.*,G.model.4.*"))
    out = capsys.readouterr().out
    assert "--init_from: G: " in out and " tensors taken (" in out
    assert re.search(r"--freeze: 2 of \d+ weight tensors", out)
    first, second = (
        torch.load(tmp_path / name / "latest_net_G.pth", weights_only=True) for name in ("first", "second")
    )
    assert torch.equal(first["model.1.weight"], second["model.1.weight"])
    last = [key for key in first if key.endswith("weight")][-1]
    assert not torch.equal(first[last], second[last])
    train(*words("second", *short[2:], "--n_epochs", 2, "--continue_train"))
    assert "--init_from" not in capsys.readouterr().out.replace("init_from:", "", 1).split("---- End")[1]
    third = torch.load(tmp_path / "second" / "latest_net_G.pth", weights_only=True)
    assert torch.equal(first["model.1.weight"], third["model.1.weight"]), "still frozen"


def test_only_the_newest_epochs_are_kept(train: Train, words: Words, tmp_path: pathlib.Path) -> None:
    more = ["--n_epochs", 4, "--n_epochs_decay", 0, "--save_epoch_freq", 1, "--keep_checkpoints", 2]
    train(*words("run", *more, "--preprocess", "crop", "--crop_size", 16))
    labels = {path.name.removesuffix("_net_G.pth") for path in (tmp_path / "run").glob("*_net_G.pth")}
    assert labels == {"3", "4", "latest"}


def test_averages_are_saved_beside_the_plain_weights(train: Train, words: Words, tmp_path: pathlib.Path) -> None:
    train(*words("run", "--n_epochs", 1, "--n_epochs_decay", 0, "--ema_decay", 0.5, "--preprocess", "crop",
                 "--crop_size", 16))  # fmt: skip
    names = {path.name for path in (tmp_path / "run").glob("*.pth")}
    assert names == {"latest_net_G.pth", "latest_net_G_ema.pth", "1_net_G.pth", "1_net_G_ema.pth", "state.pth"}
    plain, averaged = (
        torch.load(tmp_path / "run" / f"latest_net_G{kind}.pth", weights_only=True) for kind in ("", "_ema")
    )
    assert plain.keys() == averaged.keys()
    assert not torch.equal(plain["model.1.weight"], averaged["model.1.weight"])
    state = load_state(tmp_path / "run")["update"]["networks"]
    assert torch.equal(state["G.model.1.weight"], plain["model.1.weight"]), "the training goes on with the plain ones"


def test_every_log_is_cut_back_to_the_save_that_is_resumed(
    train: Train, words: Words, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that dies after its last save has told the logs more than the state knows."""
    more = ["--n_epochs", 3, "--n_epochs_decay", 0, "--preprocess", "crop", "--crop_size", 16, "--no_html", "false"]
    real = Updater.step

    def die(updater: Updater, batch: Any, number: int) -> Any:
        if number == 8:
            raise KeyboardInterrupt
        return real(updater, batch, number)

    monkeypatch.setattr(Updater, "step", die)
    with pytest.raises(KeyboardInterrupt):
        train(*words("run", *more, "--save_latest_freq", 7))
    run = tmp_path / "run"
    assert load_state(run)["position"] == (3, 2, 7, 14)
    told = [record["step"] for record in read(run / "losses.jsonl")]
    assert told == list(range(1, 9))
    monkeypatch.setattr(Updater, "step", real)
    train(*words("run", "--continue_train", "--max_steps", 8))
    assert [record["step"] for record in read(run / "losses.jsonl")] == list(range(1, 9))
    lines = [position_of(line) for line in (run / "loss_log.txt").read_text().splitlines()]
    assert [line for line in lines if line] == [(1, 2), (1, 4), (1, 6), (2, 2), (2, 4), (2, 6), (3, 2), (3, 4)]
