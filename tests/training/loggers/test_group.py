"""No logger can stop or slow the training."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from training.loggers import DisplayOptions, LoggerGroup, Position, RunInfo, SilentLogger, Times, make_loggers
from util.errors import UserError

TIMES = Times(0.1, 0.01)
INFO = RunInfo(None, "demo", "pix2pix", {}, {}, 10, 10, 10, 1)


class Recorder(SilentLogger):
    def __init__(self):
        self.events = []

    def losses(self, position, losses, times):
        self.events.append(position.step)

    def visuals(self, position, visuals, *, save):
        self.events.append((position.step, save))

    def close(self):
        self.events.append("closed")


class Broken(Recorder):
    def losses(self, position, losses, times):
        super().losses(position, losses, times)
        raise OSError("disk\nfull")


class Slow(Recorder):
    slow = True

    def __init__(self):
        super().__init__()
        self.release = threading.Event()

    def losses(self, position, losses, times):
        self.release.wait(10)
        super().losses(position, losses, times)

    def visuals(self, position, visuals, *, save):
        self.release.wait(10)
        super().visuals(position, visuals, save=save)


def test_a_failing_logger_is_told_of_once_and_left_out(capsys):
    broken, fine = Broken(), Recorder()
    group = LoggerGroup([broken, fine])
    for step in range(3):
        group.losses(Position(step=step), {"G": 1.0}, TIMES)
    group.close()
    assert broken.events == [0]
    assert fine.events == [0, 1, 2, "closed"]
    assert capsys.readouterr().err == "Broken stopped (OSError: disk full); training goes on without it\n"


def test_ctrl_c_passes_through():
    class Interrupted(SilentLogger):
        def losses(self, position, losses, times):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LoggerGroup([Interrupted()]).losses(Position(), {}, TIMES)


def test_a_slow_logger_never_blocks_and_loses_old_events():
    slow = Slow()
    group = LoggerGroup([slow])
    began = time.monotonic()
    group.start(INFO)
    for step in range(500):
        group.losses(Position(step=step), {"G": 1.0}, TIMES)
        group.visuals(Position(step=step), {"A": np.zeros((2, 2), np.uint8)}, save=step % 2 == 0)
    assert time.monotonic() - began < 2.0
    slow.release.set()
    group.close()
    pictures = [event for event in slow.events if isinstance(event, tuple)]
    assert pictures[-2:] == [(498, True), (499, False)]
    assert len(slow.events) < 40
    assert 499 in slow.events and slow.events[-1] == "closed"


def test_closing_is_bounded_in_time(capsys):
    group = LoggerGroup([Slow()], close_seconds=0.2)
    group.start(INFO)
    group.losses(Position(), {"G": 1.0}, TIMES)
    began = time.monotonic()
    group.close()
    group.close()
    assert time.monotonic() - began < 2.0
    assert "Slow did not finish" in capsys.readouterr().err


def test_a_background_logger_that_fails_is_closed(capsys):
    class SlowlyBroken(Broken):
        slow = True

    broken = SlowlyBroken()
    group = LoggerGroup([broken])
    group.start(INFO)
    group.losses(Position(step=1), {}, TIMES)
    group.close()
    assert broken.events == [1, "closed"]
    assert capsys.readouterr().err.count("\n") == 1


def names(**changes):
    return [
        type(getattr(logger, "inner", logger)).__name__ for logger in make_loggers(DisplayOptions(**changes)).loggers
    ]


def test_the_flags_choose_the_loggers():
    assert names() == ["LossLog", "JsonLines", "Console", "HtmlPage", "VisdomWindows"]
    assert names(no_html=True, display_id=0) == ["LossLog", "JsonLines", "Console"]


def test_wandb_is_asked_for_but_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        make_loggers(DisplayOptions(use_wandb=True))
