"""Failures around the loggers, each told of in one line; and Weights & Biases against a stand-in."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import types

import pytest

from training.loggers import DisplayOptions, LoggerGroup, Position, RunInfo, SilentLogger, Times
from training.loggers import console as console_module
from training.loggers.console import Console
from training.loggers.estimate import LIMIT_SECONDS, Estimate, smaller_command
from training.loggers.html import HtmlPage
from training.loggers.visdom import VisdomWindows
from training.loggers.wandb import WandbLogger
from util.errors import UserError

TIMES = Times(0.1, 0.01, 2e-4)


def run_info(folder):
    return RunInfo(folder, "demo", "pix2pix", {"lr": 2e-4}, {}, 10, 10, 10, 1)


def test_a_page_that_cannot_be_written_costs_one_line(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    group = LoggerGroup([HtmlPage()])
    group.start(run_info(blocked))
    group.close()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("HtmlPage stopped (") and line.endswith("training goes on without it")


@pytest.mark.parametrize("in_background", [True, False])
def test_a_logger_that_exits_ends_itself_alone(in_background, capsys):
    class Exits(SilentLogger):
        slow = in_background

        def losses(self, position, losses, times):
            raise SystemExit("bye")

    group = LoggerGroup([Exits()])
    group.start(run_info(None))
    group.losses(Position(), {}, TIMES)
    group.close()
    assert capsys.readouterr().err == "Exits stopped (SystemExit: bye); training goes on without it\n"


def test_a_bar_is_seen_in_a_terminal_of_unknown_width(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(console_module.os, "get_terminal_size", lambda _: types.SimpleNamespace(columns=0))
    bar = Console(bar=True)
    bar.start(run_info(tmp_path))
    bar.losses(Position(1, 5, 5, 5), {"G": 1.0}, TIMES)
    bar.close()
    assert re.search(r"50%\|.*5/10 .*img.*G 1", capsys.readouterr().err)


def test_advice_fits_the_command():
    estimate, flags = Estimate(LIMIT_SECONDS * 2, 1.0, 1), {"crop_size": 512, "load_size": 572}
    assert "--crop_size 256" in smaller_command(estimate, flags | {"preprocess": "resize_and_crop"}, "T")
    assert smaller_command(estimate, flags | {"preprocess": "none"}, "T") is None, "a crop size without crops"
    resumed = {"netG": "resnet_9blocks", "continue_train": True}
    assert smaller_command(estimate, resumed, "T") is None, "the network of a saved run cannot change"


class Dying:
    """A stand-in for a visdom server: answers the first requests, then closes every connection."""

    CODE = """
        import http.server as h, sys
        answers = int(sys.argv[1])
        class Handler(h.BaseHTTPRequestHandler):
            count = 0
            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                Handler.count += 1
                if Handler.count <= answers:
                    self.send_response(200); self.end_headers(); self.wfile.write(b"true")
        s = h.HTTPServer(("127.0.0.1", 0), Handler); print(s.server_port, flush=True); s.serve_forever()
    """

    def __init__(self, answers):
        command = [sys.executable, "-c", textwrap.dedent(self.CODE), str(answers)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.port = int(self.process.stdout.readline())


@pytest.mark.parametrize("answers", [1, 2, 3])
def test_a_visdom_server_that_dies_costs_one_line_wherever_it_dies(answers, tmp_path, capfd):
    pytest.importorskip("visdom")
    server = Dying(answers)
    try:
        group = LoggerGroup([VisdomWindows(DisplayOptions(display_port=server.port))])
        group.start(run_info(tmp_path))
        for step in range(1, 4):
            group.losses(Position(1, step, step, step), {"G": 1.0}, TIMES)
        group.close()
    finally:
        server.process.kill()
        server.process.wait()
    out, err = capfd.readouterr()
    assert out == ""
    assert len([line for line in err.splitlines() if "no longer answers; training goes on" in line]) == 1


class FakeWandb(types.ModuleType):
    """The few names of wandb that are used, recording what they are given."""

    def __init__(self, key):
        super().__init__("wandb")
        self.key, self.logged, self.started, self.finished = key, [], [], 0
        self.errors = types.SimpleNamespace(UsageError=type("UsageError", (Exception,), {}))

    def login(self):
        if not self.key:
            raise self.errors.UsageError("no key")

    def init(self, **place):
        self.started.append(place)
        return self

    def define_metric(self, name, step_metric):
        assert (name, step_metric) == ("*", "total_iters")

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb(key=True)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return fake


def test_wandb_receives_losses_and_goes_on_in_the_same_run(wandb, tmp_path):
    for step in (5, 3):  # the second begins at an earlier checkpoint
        logger = WandbLogger("project")
        logger.start(run_info(tmp_path))
        logger.losses(Position(1, step, step, step), {"G": 1.0}, TIMES)
        logger.close()
        logger.close()
    assert [place["id"] for place in wandb.started] == [wandb.started[0]["id"]] * 2
    assert wandb.started[0]["project"] == "project" and wandb.started[0]["dir"] == str(tmp_path)
    assert wandb.logged[1] == {"G": 1.0, "lr": 2e-4, "epoch": 1, "total_iters": 3}
    assert wandb.finished == 2


def test_wandb_without_a_login_is_refused_before_training(wandb, monkeypatch):
    wandb.key = False
    with pytest.raises(UserError, match="wandb login"):
        WandbLogger("project")
    monkeypatch.setenv("WANDB_MODE", "offline")
    WandbLogger("project")
