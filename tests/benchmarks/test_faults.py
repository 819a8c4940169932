"""A few faults for real, and that the benchmark would see damage; the whole table is in docs/reliability.md."""

from __future__ import annotations

import pathlib
import shutil
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks processes up in /proc")


def test_a_few_faults_leave_no_trace(script: Callable[..., Any], tmp_path: pathlib.Path) -> None:
    flags = ["--kills", 3, "--tries", 1, "--setups", 2, "--faults", "kill,vanished,corrupted,dead_worker"]
    done = script("-m", "benchmarks.faults", *flags, "--folder", tmp_path, "--no_docs")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:3] == "| k"]
    assert [(row[1].split()[0], row[2]) for row in rows] == [("3", "3"), ("1", "1")]
    assert "| a loader process is killed | 1 | 1 |" in done.stdout
    assert not list(tmp_path.iterdir())


def test_every_fault_has_trainings_to_disturb() -> None:
    from benchmarks.faults.bench import RANK_SETUPS, SETUPS
    from benchmarks.faults.injections import FAULTS

    tried = {name: [s.ranks for s in (*SETUPS, *RANK_SETUPS) if fault.concerns(s)] for name, fault in FAULTS.items()}
    assert tried.pop("dead_rank") == [2] * len(RANK_SETUPS)
    assert tried.pop("dead_worker") == [1] * (len(SETUPS) // 2)
    assert all(ranks == [1] * len(SETUPS) for ranks in tried.values())


def test_an_unknown_fault_is_named(script: Callable[..., Any]) -> None:
    done = script("-m", "benchmarks.faults", "--faults", "flood", "--no_docs")
    assert done.returncode == 2 and "flood" in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def runs(tmp_path: pathlib.Path, aligned: pathlib.Path, tiny: list[str], train: Callable[..., int]) -> tuple[Any, Any]:
    """Return two finished runs that are equal."""
    from benchmarks.faults.arena import Arena, Setup

    where = ["--dataroot", aligned, "--checkpoints_dir", tmp_path, "--name", "one", "--model", "template"]
    train(*where, *tiny, "--n_epochs", 1, "--n_epochs_decay", 0)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    setup = Setup("", "", 1)
    return Arena(tmp_path, setup, "one", tmp_path), Arena(tmp_path, setup, "two", tmp_path)


def test_differences_of_any_kind_are_seen(runs: tuple[Any, Any]) -> None:
    one, two = runs
    assert one.differences(two) == [] and one.is_finite()
    weights = two.folder / "latest_net_G.pth"
    state = torch.load(weights, weights_only=True)
    next(iter(state.values())).view(-1)[0] += 1e-6
    torch.save(state, weights)
    (two.folder / "1_net_G.pth").unlink()
    (two.folder / ".01234567.state.new.tmp").touch()
    log = two.folder / "losses.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    expected = [".01234567.state.new.tmp", "1_net_G.pth", "latest_net_G.pth", "losses.jsonl"]
    assert one.differences(two) == expected
    state["model.1.weight"][:] = float("nan")
    torch.save(state, weights)
    assert not two.is_finite()


def test_the_table_is_written_between_its_marks(tmp_path: pathlib.Path) -> None:
    from benchmarks.faults.__main__ import BEGIN, END, write_between

    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n\n{END}\n\nafter\n")
    write_between(page, "new\n")
    write_between(page, "newer\n")
    assert page.read_text() == f"before\n\n{BEGIN}\nnewer\n\n{END}\n\nafter\n"
