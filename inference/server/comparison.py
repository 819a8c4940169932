"""What the page shows of a translation: pictures, facts and metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass

import cv2
import numpy as np

from data.readers import read_image
from data.value_range import ValueRange
from data.writers import as_hwc, preview
from evaluation.metrics import evaluate_pair
from evaluation.table import format_number, sorted_metrics, title
from inference.server.jobs import Job, Task
from inference.server.service import Service
from util.errors import UserError

_LARGEST_SIDE = 2048  # pixels of what a browser gets to see; the file to download has them all
_LOOK = 0.2  # seconds between reports of progress


@dataclass(frozen=True)
class Outcome:
    """One translated image as arrays in file units (H,W,C), and its pictures for the browser."""

    task: Task
    values: np.ndarray
    value_range: ValueRange
    before: np.ndarray
    after: np.ndarray

    @property
    def run(self) -> str:
        """Return the name of the run."""
        return self.task.job.run


def picture(values: np.ndarray, value_range: ValueRange | None) -> np.ndarray:
    """Return a uint8 (H,W,3) picture of file values, at most 2048 pixels wide and high."""
    height, width = values.shape[:2]
    factor = _LARGEST_SIDE / max(height, width)
    if factor < 1:
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        values = as_hwc(cv2.resize(values, size, interpolation=cv2.INTER_AREA))
    return preview(values, value_range)


def follow(service: Service, job: Job, tell: Callable[[float, str], None]) -> None:
    """Wait for a job of one image, telling how far it is; its refusal is raised."""
    task, run, began = job.tasks[0], service.runs[job.run], time.monotonic()
    while not wait([job.ended], timeout=_LOOK).done:
        if not job.started:
            ahead, began = service.queue.ahead(task), time.monotonic()
            tell(0.0, f"{ahead} before this one" if ahead else "next in turn")
            continue
        seconds, expected = time.monotonic() - began, run.expected_seconds(task.upload)
        about = f" of about {expected:.0f}" if expected else ""
        tell(min(0.95, seconds / expected) if expected else 0.5, f"{job.run}: {seconds:.0f}{about} s")
    if task.error is not None:
        raise task.error


def seen(service: Service, task: Task, source: np.ndarray) -> Outcome:
    """Return what there is to show of a finished task.

    Args:
        source: the uploaded image (H,W,C) in file units.
    """
    assert task.result is not None
    values = read_image(task.result)
    of_input, of_output = service.runs[task.job.run].ranges(source.dtype.name)
    return Outcome(task, values, of_output, picture(source, of_input), picture(values, of_output))


def measure(outcomes: Sequence[Outcome], source: np.ndarray, reference: np.ndarray) -> dict[str, dict[str, float]]:
    """Return the metrics of each result, and of the unchanged input where it compares, against the reference.

    Raises:
        UserError: the reference has another size, depth or number of channels than a result.
    """
    for outcome in outcomes:
        if outcome.values.dtype != reference.dtype:
            depths = _DEPTHS[reference.dtype.name], _DEPTHS[outcome.values.dtype.name]
            raise UserError(f"the reference has {depths[0]} and the result of {outcome.run} {depths[1]}: convert it")
    rows = {outcome.run: evaluate_pair(outcome.values, reference, outcome.value_range) for outcome in outcomes}
    if source.shape == reference.shape and source.dtype == reference.dtype:
        rows["input unchanged"] = evaluate_pair(source, reference, outcomes[0].value_range)
    return rows


def facts(outcome: Outcome) -> str:
    """Return one line of Markdown on a result's size, depth and time."""
    height, width, channels = outcome.values.shape
    colour = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    took = f"{outcome.task.seconds:.1f} s"
    return f"**{outcome.run}**: {width} x {height}, {colour}, {_DEPTHS[outcome.values.dtype.name]}, {took}"


_DEPTHS = {"uint8": "8 bit", "uint16": "16 bit", "float32": "32-bit float"}


def metric_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return metrics as a Markdown table, a line for each name."""
    metrics = sorted_metrics(rows.values())
    lines = [["", *map(title, metrics)], ["---"] * (len(metrics) + 1)]
    for name, row in rows.items():
        lines.append([name, *(format_number(m, row.get(m, float("nan"))) for m in metrics)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def class_table(classes: Mapping[str, Mapping[str, float]]) -> str:
    """Return what a classifier saw as a Markdown table, a line for each picture."""
    lines = ["| Picture | Seen in it |", "| --- | --- |"]
    for name, found in classes.items():
        lines.append(f"| {name} | {', '.join(f'{label} {100 * share:.0f} %' for label, share in found.items())} |")
    return "\n".join(lines)
