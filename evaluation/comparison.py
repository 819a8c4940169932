"""Several tests of the same images beside each other: what each scored, and whether a difference could be chance."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation.bootstrap import interval_of_difference, intervals
from evaluation.metrics import mean_row
from evaluation.table import LOWER_IS_BETTER, sorted_metrics
from util.errors import UserError

Row = dict[str, float]
_RESULTS = ("fake_B", "fake", "fake_B_rgb")


@dataclass(frozen=True)
class Test:
    """One results folder of test.py: means, intervals, rows and files by image, and which network measured what."""

    __test__ = False  # not a test case

    name: str
    folder: pathlib.Path
    mean: Row
    intervals: Mapping[str, tuple[float, float]]
    images: Mapping[str, Row]
    files: Mapping[str, Mapping[str, str]]
    measured_by: Mapping[str, str] = field(default_factory=dict)

    def result(self, image: str) -> str | None:
        """Return the file of the output for an image, below the folder."""
        files = self.files.get(image, {})
        return next((files[label] for label in _RESULTS if label in files), None)


@dataclass(frozen=True)
class Difference:
    """The mean of a metric over the images that two tests share, less the other's, with its 95 % interval."""

    value: float
    low: float
    high: float
    images: int

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def read_tests(folders: Sequence[pathlib.Path]) -> list[Test]:
    """Read results folders, each under a name that tells it from the others; UserError for what is none."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise UserError(f"{folders[0]}: given twice; name each folder once")
    runs = ["/".join(part[-2:-1]) for part in parts]
    distinct = len(set(runs)) == len(runs)
    names = [run if distinct else "/".join(part[-2:]) for run, part in zip(runs, parts, strict=True)]
    return [_read(folder, name) for folder, name in zip(folders, names, strict=True)]


def _read(folder: pathlib.Path, name: str) -> Test:
    rows = sorted(folder.glob("rows*.jsonl"))
    if not rows:
        raise UserError(f"{folder}: no results of test.py; give a folder such as results/NAME/test_latest")
    path = folder / "metrics.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        lines = [json.loads(line) for log in rows for line in log.read_text(encoding="utf-8").splitlines()]
        files = {line["name"]: line["files"] for line in lines}
        means, images = _row(found.get("mean", {})), {n: _row(row) for n, row in found.get("images", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{folder}: its metrics.json or rows.jsonl is damaged; run test.py again") from None
    ends = {metric: (pair[0], pair[1]) for metric, pair in found.get("interval", {}).items()}
    return Test(name, folder, means, ends, images, files, found.get("measured_by", {}))


def _row(values: Mapping[str, Any]) -> Row:
    """Return the numbers of a saved row; what is not finite, saved as null, and flags are left out."""
    return {name: float(value) for name, value in values.items() if type(value) in (int, float)}


def comparable(tests: Sequence[Test]) -> tuple[list[str], list[str]]:
    """Return the metrics that all tests can be compared by, and a line for each that means something else in some."""
    metrics, refused = [], []
    for metric in sorted_metrics([test.mean for test in tests]):
        networks = {test.measured_by.get(metric, "") for test in tests if metric in test.mean}
        if len(networks) > 1:
            by = " and ".join(sorted(map(str, networks)))
            refused.append(f"{metric}: measured by {by}, which cannot be compared")
        else:
            metrics.append(metric)
    return metrics, refused


def shared_images(tests: Sequence[Test]) -> list[str]:
    """Return the images that all tests have, in the order of the first; UserError where there are none."""
    shared = [name for name in tests[0].files if all(name in test.files for test in tests)]
    if not shared:
        raise UserError(f"{tests[0].folder} and {tests[-1].folder}: no image in common; test on the same data")
    return shared


def over_shared(tests: Sequence[Test]) -> list[Test]:
    """Return the tests with means over the images that all of them have; metrics of sets cannot be had for a part."""
    shared = shared_images(tests)
    return [test if len(test.files) == len(shared) else _over(test, shared) for test in tests]


def _over(test: Test, names: Sequence[str]) -> Test:
    rows = [test.images[name] for name in names if name in test.images]
    files = {name: test.files[name] for name in names}
    return dataclasses.replace(test, mean=mean_row(rows), intervals=intervals(rows), files=files)


def difference(test: Test, other: Test, metric: str) -> Difference | None:
    """Return how much more ``test`` scores than ``other`` on the same images; None with fewer than three in common.

    The difference is that of the two means in the table, so of ``rmse`` that of the roots of mean squares.
    """
    rows = ((row, other.images.get(name, {})) for name, row in test.images.items())
    pairs = [(mine[metric], theirs[metric]) for mine, theirs in rows if metric in mine and metric in theirs]
    if len(pairs) < 3:
        return None
    ours, its = (mean_row([{metric: value} for value in side])[metric] for side in zip(*pairs, strict=True))
    low, high = interval_of_difference(*np.array(pairs).T, root=metric == "rmse")
    return Difference(ours - its, low, high, len(pairs))


def best(tests: Sequence[Test], metric: str) -> float:
    """Return the best mean of a metric."""
    means = [test.mean[metric] for test in tests if math.isfinite(test.mean.get(metric, math.nan))]
    return (min if metric in LOWER_IS_BETTER else max)(means, default=math.nan)
