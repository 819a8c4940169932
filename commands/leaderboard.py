"""Runs and what was measured of them -> the entries of a leaderboard."""

from __future__ import annotations

import json
import pathlib
import statistics
from collections.abc import Iterator
from typing import Any

from commands.result_log import written
from evaluation.leaderboard import Entry, Leaderboard, format_leaderboard, write_leaderboard
from options.saved import recorded
from training.best import FILE as BEST
from training.loggers.jsonl import read
from training.loggers.text import duration
from util.errors import UserError

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def show_leaderboard(checkpoints: str, results: str, metric: str, out: str | None) -> None:
    """Print all runs that have a metric, the best first, and write the table as a page and as CSV.

    Raises:
        UserError: there are no runs, none has the metric, or the folder cannot be written to.
    """
    entries = find_entries(pathlib.Path(checkpoints), pathlib.Path(results))
    known = sorted({name for entry in entries for name in entry.mean})
    if metric not in known:
        raise UserError(f"--metric {metric}: no run has it (there are {', '.join(known) or 'none'})")
    board, folder = Leaderboard.of(entries, metric), pathlib.Path(out or f"{results}/leaderboard")
    with written(folder, "name another --out"):
        write_leaderboard(board, folder)
    print(format_leaderboard(board))
    print(f"page: {folder / 'index.html'}, table: {folder / 'leaderboard.csv'}")


def find_entries(checkpoints: pathlib.Path, results: pathlib.Path) -> list[Entry]:
    """Return an entry for each folder of results, for the best validation of each run, and for each run without both.

    Raises:
        UserError: neither folder holds any run.
    """
    runs = {path.name: path for path in _folders(checkpoints) if any(path.glob("*_net_*.pth"))}
    tests = {path.name: path for path in _folders(results) if any(path.glob("*/metrics.json"))}
    if not runs and not tests:
        raise UserError(f"{checkpoints} and {results}: no runs; see --checkpoints_dir and --results_dir")
    return [entry for name in sorted(runs.keys() | tests.keys()) for entry in _entries(name, runs, tests.get(name))]


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _entries(name: str, runs: dict[str, pathlib.Path], tests: pathlib.Path | None) -> Iterator[Entry]:
    members = [runs[part.strip()] for part in name.split(",") if part.strip() in runs]
    facts, count = _facts(members), 0
    for path in sorted(tests.glob("*/metrics.json")) if tests else []:
        soup = "weights" in path.parent.name.split("_")  # all of them in one network
        own = facts | {"parameters": _parameters(members[0])} if soup and members else facts
        yield Entry(name, path.parent.name, **_measured(path), **own)
        count += 1
    best = _load(members[0] / BEST) if len(members) == 1 else {}
    if isinstance(best.get("value"), float | int):
        yield Entry(name, "val, best", {best["metric"]: float(best["value"])}, **facts)
    elif not count:
        yield Entry(name, "", {}, **facts)


def _measured(path: pathlib.Path) -> dict[str, Any]:
    found = _load(path)
    try:
        mean = {metric: float(value) for metric, value in found["mean"].items() if value is not None}
        ends = {metric: (float(low), float(high)) for metric, (low, high) in found.get("interval", {}).items()}
        by = found.get("measured_by", {})
        return {"mean": mean, "intervals": ends, "images": found.get("count"), "measured_by": by}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{path}: damaged; run test.py again, or delete it") from None


def _load(path: pathlib.Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{path}: damaged; run test.py again, or delete it")
    return found


def _facts(members: list[pathlib.Path]) -> dict[str, Any]:
    """Return what several runs are together: their kinds, all parameters, all training, the most epochs."""
    if not members:
        return {}
    logs = [[r for r in read(folder / "losses.jsonl") if not _validates(r)] for folder in members]
    seconds = sum(_seconds(log) for log in logs)
    counts = [_parameters(folder) for folder in members]
    return {
        "model": _joined(recorded(folder, "model") for folder in members),
        "network": _joined(recorded(folder, "netG") for folder in members),
        "parameters": None if None in counts else sum(count for count in counts if count is not None),
        "epochs": max((record["epoch"] for log in logs for record in log), default=None),
        "training": duration(seconds) if seconds else "",
    }


def _joined(words: Iterator[Any]) -> str:
    return ", ".join(dict.fromkeys(str(word) for word in words if word is not None))


def _validates(record: dict[str, Any]) -> bool:
    return any(name.startswith("val_") for name in record["losses"])


def _seconds(log: list[dict[str, Any]]) -> float:
    """Return about how long a run was trained: the usual time of an image, for all of them."""
    times = [record["time"] for record in log if isinstance(record.get("time"), float)]
    return statistics.median(times) * max(record["total_iters"] for record in log) if times else 0.0


def _parameters(folder: pathlib.Path) -> int | None:
    """Return how many values of a run's generators are trained; None where a file is no weights."""
    import torch

    files = [path for path in sorted(folder.glob("latest_net_*.pth")) if not path.stem.endswith("_ema")]
    files = [path for path in files if not path.stem.removeprefix("latest_net_").startswith("D")]
    try:
        states = [torch.load(path, map_location="meta", weights_only=True) for path in files]
        named = [item for state in states for item in state.items() if not item[0].endswith(_STATISTICS)]
        return sum(value.numel() for _, value in named) if files else None
    except Exception:  # a damaged or foreign file makes the reader raise anything
        return None
