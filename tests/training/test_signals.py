"""Ctrl-C and SIGTERM end a training between two steps, saved, with the exit code that shells expect."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from training.checkpoint import load_state
from training.signals import StopRequest, dead_workers_told
from util.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def test_the_first_request_only_sets_a_mark_and_a_second_ctrl_c_interrupts() -> None:
    with StopRequest() as stop:
        assert stop.exit_code == 0
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.exit_code == 143
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


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_the_run_can_go_on(
    aligned: pathlib.Path, tmp_path: pathlib.Path, tiny: list[str], train: Callable[..., int], number: int, code: int
) -> None:
    where = ["--model", "template", "--dataroot", str(aligned), "--checkpoints_dir", str(tmp_path), "--name", "run"]
    command = [sys.executable, "train.py", *where, *tiny, "--n_epochs", "10000", "--num_threads", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _wait_for_steps(process, tmp_path / "run")
    if number == signal.SIGINT:  # a terminal sends Ctrl-C to the loader's processes too
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    done = load_state(tmp_path / "run")["position"]
    assert done[2] >= 2
    quiet = ["--display_id", 0, "--no_html", "--gpu_ids", "-1", "--num_threads", 0]
    assert train("--continue_train", *where, *quiet, "--max_steps", done[2] + 2) == 0
    assert load_state(tmp_path / "run")["position"][2] == done[2] + 2


def test_a_killed_loading_process_is_one_line_and_other_errors_are_not_hidden() -> None:
    with pytest.raises(UserError, match="a process that loads images was killed"), dead_workers_told():
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    with pytest.raises(UserError, match="a process that loads images was killed"), dead_workers_told():
        raise ConnectionResetError(104, "Connection reset by peer")
    with pytest.raises(RuntimeError, match="shape"), dead_workers_told():
        raise RuntimeError("shape mismatch")
