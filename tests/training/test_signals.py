"""Ctrl-C and SIGTERM end a training between two steps, saved, with the exit code that shells expect."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from training.checkpoint import load_state
from training.signals import StopRequest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def test_the_first_request_only_sets_a_mark_and_a_second_ctrl_c_interrupts() -> None:
    with StopRequest() as stop:
        assert stop.exit_code == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_are_put_back(capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # as timeout does, to the process and to its group
        assert stop.exit_code == 143
    assert capfd.readouterr().err == "stopping after this step, saved\n"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def _wait_for_steps(process: subprocess.Popen[str], folder: pathlib.Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    log = folder / "loss_log.txt"
    while time.monotonic() < deadline and process.poll() is None:
        if log.is_file() and log.read_text().count("iters") >= 2:
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"no step was made: {process.communicate()}")


def _start(folder: pathlib.Path, words: list[str]) -> subprocess.Popen[str]:
    """Return a training with two loading processes, in a process group of its own, after its first steps."""
    process = subprocess.Popen(
        [sys.executable, "train.py", *words, "--n_epochs", "10000", "--num_threads", "2"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _wait_for_steps(process, folder)
    return process


def _ended(group: int, seconds: float) -> bool:
    """Return whether no process of the group is left after at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def words(aligned: pathlib.Path, tmp_path: pathlib.Path, tiny: list[str]) -> list[str]:
    where = ["--model", "template", "--dataroot", str(aligned), "--checkpoints_dir", str(tmp_path), "--name", "run"]
    return [*where, *tiny]


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize(
    ("send", "number", "code"),
    [(os.kill, signal.SIGTERM, 143), (os.killpg, signal.SIGTERM, 143), (os.killpg, signal.SIGINT, 130)],
    ids=["sigterm", "sigterm_to_all", "ctrl_c"],
)
def test_a_signal_saves_and_the_run_can_go_on(
    words: list[str], tmp_path: pathlib.Path, train: Callable[..., int], send: Any, number: int, code: int
) -> None:
    """The loader's processes, too, get the Ctrl-C of a terminal and the SIGTERM of timeout, SLURM and systemd."""
    process = _start(tmp_path / "run", words)
    send(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors and errors.count("stopping after this step, saved") == 1
    assert _ended(process.pid, 1), "no loading process outlives the training"
    done = load_state(tmp_path / "run")["position"]
    assert done[2] >= 2
    assert train("--continue_train", *words, "--max_steps", done[2] + 2) == 0
    assert load_state(tmp_path / "run")["position"][2] == done[2] + 2


@pytest.mark.skipif(sys.platform != "linux", reason="process groups as on Linux")
def test_loading_processes_end_with_a_killed_training(words: list[str], tmp_path: pathlib.Path) -> None:
    process = _start(tmp_path / "run", words)
    process.kill()
    process.wait()
    assert _ended(process.pid, 20)
