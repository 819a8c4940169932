"""Images -> numbers: PSNR, SSIM, LPIPS, RMSE and MAE of pairs, tables of them, ``metrics.json`` and ``metrics.csv``.

``metrics.json`` is valid JSON whatever happens: a PSNR that is infinite, since the two images are identical, is
``null`` beside ``"identical": true``, and a metric that cannot be computed is ``null``. Means leave both out; the
number of identical images stands beside them. ``metrics.csv`` writes ``inf`` and an empty field for the two.
"""

from __future__ import annotations

import csv
import io
import json
import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from evaluation import perceptual
from evaluation.bootstrap import intervals
from evaluation.perceptual import Lpips
from evaluation.structure import multiscale, structural_similarity
from evaluation.table import LOWER_IS_BETTER, better_lines, format_rows, interval_line, sorted_metrics
from util.errors import UserError
from util.files import write_text

_said: set[str] = set()


class Range(Protocol):
    """Anything with the file values that stand for black and white, such as data.value_range.ValueRange."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def load_lpips(weights: str | None = None) -> Lpips | None:
    """Return LPIPS from a local file or torchvision's cache, or None, saying the reason once.

    Raises:
        UserError: ``weights`` is missing or holds no trunk for LPIPS.
    """
    distance, message = perceptual.load(weights)
    if message not in _said:
        print(f"LPIPS: {message}" if distance else message, file=sys.stderr)
        _said.add(message)
    return distance


def evaluate_pair(
    fake: np.ndarray,
    real: np.ndarray,
    value_range: Range | tuple[float, float] | None = None,
    lpips: Lpips | None = None,
    *,
    inside: bool = False,
) -> dict[str, float]:
    """Compare a result with the truth: ``psnr`` (dB), ``ssim``, ``rmse`` and ``mae`` (file units), ``lpips``.

    ``ms_ssim`` too where the shorter side has more than 160 pixels, which its five scales need.

    Pixels that are not finite in either image are left out (LPIPS sees black there). 8-bit files count as 0..255.

    Args:
        fake: (H,W) or (H,W,C) in file units.
        real: the same shape.
        value_range: file values of black and white; left out, the dtype's, or the truth's extremes for floats.
        lpips: from :func:`load_lpips`.
        inside: whether SSIM counts only windows that lie within the image, as the authors' code does, instead of
            mirroring its borders.

    Raises:
        UserError: the shapes differ.
    """
    fake, real = _hwc(fake), _hwc(real)
    if fake.shape != real.shape:
        raise UserError(
            f"the result is {_size(fake)} and the truth {_size(real)}: they must be the same to be compared"
        )
    valid = np.isfinite(fake).all(2) & np.isfinite(real).all(2)
    if not valid.any():
        return dict.fromkeys(("psnr", "ssim", "rmse", "mae"), math.nan)
    low, high = _limits(real, value_range)
    units = _unit(fake, valid, low, high), _unit(real, valid, low, high)
    rmse, mae = _errors(fake[valid], real[valid])
    row = {"psnr": _psnr(rmse, high - low), "ssim": structural_similarity(*units, valid, inside)}
    row |= multiscale(*units, valid) | {"rmse": rmse, "mae": mae}
    return row | ({} if lpips is None else {"lpips": lpips(units[0].clip(0, 1), units[1].clip(0, 1))})


def _errors(fake: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Return the root of the mean squared and the mean absolute difference."""
    difference = fake.astype(np.float64) - real.astype(np.float64)
    return float(np.sqrt(np.mean(difference**2))), float(np.mean(np.abs(difference)))


def _psnr(rmse: float, data_range: float) -> float:
    """Return decibels, as torchmetrics does, which takes seconds to import."""
    return 20 * math.log10(data_range / rmse) if rmse else math.inf


def _unit(image: np.ndarray, valid: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return float64 (H,W,C) with ``low`` as 0 and ``high`` as 1, and 0 where a pixel does not count."""
    filled = np.where(valid[..., None], image, low).astype(np.float64)
    return (filled - low) / (high - low)


def _hwc(image: np.ndarray) -> np.ndarray:
    return image[..., None] if image.ndim == 2 else image


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]} with {image.shape[2]} channels"


def _limits(real: np.ndarray, value_range: Range | tuple[float, float] | None) -> tuple[float, float]:
    if real.dtype == np.uint8:
        return 0.0, 255.0
    if isinstance(value_range, tuple):
        return value_range
    if value_range is not None:
        return value_range.low, value_range.high
    if real.dtype.kind == "u":
        return 0.0, float(np.iinfo(real.dtype).max)
    finite = real[np.isfinite(real)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (low, high) if high > low else (low, low + 1.0)


class MetricTable:
    """Rows of metrics, one per image, and the baselines that their means are printed beside."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, float]] = {}
        self.baselines: dict[str, dict[str, float]] = {}
        self.of_sets: dict[str, float] = {}
        self.measured_by: dict[str, str] = {}  # metric -> the network and file, for those that depend on one
        self.beside: dict[str, dict[str, dict[str, float]]] = {}  # baseline -> image -> metrics

    def add(self, name: str, row: Mapping[str, float]) -> None:
        """Add an image's metrics."""
        self.rows[name] = dict(row)

    def add_baseline(self, name: str, row: Mapping[str, float]) -> None:
        """Add the mean metrics of something simpler, such as the mean map."""
        self.baselines[name] = dict(row)

    def add_of_sets(self, values: Mapping[str, float], measured_by: str) -> None:
        """Add metrics of all results together against all targets, such as FID."""
        self.of_sets |= values
        self.measured_by |= dict.fromkeys(values, measured_by)

    def add_beside(self, baseline: str, name: str, row: Mapping[str, float]) -> None:
        """Add what something simpler, such as bicubic enlargement, scores on one image; its mean is a baseline."""
        self.beside.setdefault(baseline, {})[name] = dict(row)
        self.baselines.setdefault(baseline, {})

    def better(self) -> dict[str, dict[str, int]]:
        """Return by baseline and metric on how many images the model is strictly better."""
        return {
            baseline: {metric: self._count_better(rows, metric) for metric in sorted_metrics(rows.values())}
            for baseline, rows in self.beside.items()
        }

    def _count_better(self, rows: Mapping[str, Mapping[str, float]], metric: str) -> int:
        sign = -1 if metric in LOWER_IS_BETTER else 1
        pairs = ((self.rows[name].get(metric, math.nan), row.get(metric, math.nan)) for name, row in rows.items())
        return sum(sign * ours > sign * theirs for ours, theirs in pairs)

    @property
    def metrics(self) -> list[str]:
        """Return the metrics that any image or baseline has, in the established order."""
        return sorted_metrics([*self.rows.values(), *self.baselines.values(), self.of_sets])

    def summary(self) -> dict[str, float]:
        """Return the means over all images whose value is finite, infinite where every image is identical; and of sets.

        ``rmse`` is the root of the mean square, as over all pixels of equally large images: comparable with baselines.
        """
        return mean_row(list(self.rows.values())) | self.of_sets

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Return between which values the means would lie in 95 % of other draws of as many images."""
        return intervals(list(self.rows.values()))

    def finish(self) -> None:
        """Take the means of what was added beside the images."""
        for baseline, rows in self.beside.items():
            self.baselines[baseline] = mean_row(list(rows.values()))

    def identical(self) -> int:
        """Return how many results equal the truth exactly."""
        return sum(_is_identical(row) for row in self.rows.values())

    def format_table(self) -> str:
        """Return the means beside the baselines, for printing."""
        name = f"model ({len(self.rows)} images)" if self.rows else "model"
        table = format_rows({name: self.summary()} | self.baselines)
        lines = [*interval_line(self.intervals()), *better_lines(self.better(), len(self.rows))]
        return "\n".join([table, *lines])

    def to_json(self) -> dict[str, Any]:
        """Return what ``metrics.json`` holds."""
        return {
            "count": len(self.rows),
            "identical": self.identical(),
            "mean": _plain(self.summary()),
            "interval": {metric: list(ends) for metric, ends in self.intervals().items()},
            "measured_by": self.measured_by,
            "baselines": {name: _plain(row) for name, row in self.baselines.items()},
            "better": self.better(),
            "beside": {
                baseline: {name: _plain(row) for name, row in rows.items()} for baseline, rows in self.beside.items()
            },
            "images": {
                name: _plain(row) | ({"identical": True} if _is_identical(row) else {})
                for name, row in self.rows.items()
            },
        }

    def write(self, folder: pathlib.Path) -> None:
        """Write ``metrics.json`` and ``metrics.csv``; without rows remove those that an earlier test has left."""
        if not self.rows and not self.of_sets:
            for name in ("metrics.json", "metrics.csv"):
                (folder / name).unlink(missing_ok=True)
            return
        write_text(folder / "metrics.json", json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        write_text(folder / "metrics.csv", self._csv())

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        metrics = sorted_metrics(self.rows.values())
        beside = [(name, metric) for name, rows in self.beside.items() for metric in sorted_metrics(rows.values())]
        writer.writerow(["image", *metrics, *(f"{name}_{metric}".replace(" ", "_") for name, metric in beside)])
        for name, row in self.rows.items():
            numbers = [row.get(metric, math.nan) for metric in metrics]
            numbers += [self.beside[other].get(name, {}).get(metric, math.nan) for other, metric in beside]
            writer.writerow([_cell(name), *map(_number, numbers)])
        return text.getvalue()


def mean_row(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the means of rows as :meth:`MetricTable.summary` describes them."""
    means = {}
    for metric in sorted_metrics(rows):
        values = [row[metric] for row in rows if not math.isnan(row.get(metric, math.nan))]
        finite = [value for value in values if math.isfinite(value)]
        means[metric] = _mean(finite, metric) if finite else (math.inf if values else math.nan)
    return means


def _mean(values: list[float], metric: str) -> float:
    if metric == "rmse":
        return math.sqrt(math.fsum(value**2 for value in values) / len(values))
    return math.fsum(values) / len(values)


def _is_identical(row: Mapping[str, float]) -> bool:
    return math.isinf(row.get("psnr", 0.0))


def _plain(row: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in row.items()}


def _cell(name: str) -> str:
    """Return a name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@") else name


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
