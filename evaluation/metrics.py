"""How near an output is to its target: PSNR, SSIM, RMSE and MAE per image, LPIPS where a backbone is at hand."""

from __future__ import annotations

import csv
import io
import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from util.files import write_text

Row = dict[str, float]
Distance = Callable[[Tensor, Tensor], float]
HIGHER_IS_BETTER = {"psnr": True, "ssim": True, "lpips": False, "rmse": False, "mae": False}


class Range(Protocol):
    """The values that a data set's black and white stand for."""

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


def evaluate_pair(fake: np.ndarray, real: np.ndarray, value_range: Range, lpips: Distance | None = None) -> Row:
    """Compare an output with its target.

    Args:
        fake: (H,W,C) in file units.
        real: the same size; pixels that are not finite do not count in psnr, rmse and mae.
        value_range: its width is the peak of PSNR and the data range of SSIM.
        lpips: perceptual distance of (1,3,H,W) images in [-1,1], see :func:`evaluation.lpips_distance.load_lpips`.

    Returns:
        psnr in dB (infinite for equal images), ssim (Wang et al. 2004, Gaussian window 11, sigma 1.5; NaN below
        11 pixels), rmse and mae in file units, and lpips where given.

    Raises:
        ValueError: the sizes differ.
    """
    if fake.shape != real.shape:
        raise ValueError(f"output {fake.shape} and target {real.shape} differ in size")
    output, target = fake.astype(np.float64), real.astype(np.float64)
    difference = (output - target)[np.isfinite(target)]
    rmse = math.sqrt(float(np.mean(difference**2))) if difference.size else math.nan
    width = value_range.high - value_range.low
    row = {
        "psnr": 20 * math.log10(width / rmse) if rmse else math.inf,
        "ssim": _ssim(output, target, width),
        "rmse": rmse,
        "mae": float(np.mean(np.abs(difference))) if difference.size else math.nan,
    }
    if lpips is not None:
        row["lpips"] = lpips(_rgb(output, value_range), _rgb(target, value_range))
    return row


def _ssim(output: np.ndarray, target: np.ndarray, width: float) -> float:
    if min(output.shape[:2]) < 11 or not np.isfinite(target).all():
        return math.nan
    from torchmetrics.functional.image import structural_similarity_index_measure

    first, second = (torch.from_numpy(image).permute(2, 0, 1)[None] for image in (output, target))
    return float(structural_similarity_index_measure(first, second, data_range=width))  # type: ignore[arg-type]


def _rgb(image: np.ndarray, value_range: Range) -> Tensor:
    scaled = (image - value_range.low) * (2 / (value_range.high - value_range.low)) - 1
    channels = torch.from_numpy(np.nan_to_num(scaled)).float().clamp(-1, 1).permute(2, 0, 1)[None]
    return channels[:, :1].expand(-1, 3, -1, -1) if channels.shape[1] < 3 else channels[:, :3]


class MetricTable:
    """Rows of metrics by image name, and what naive predictions score on the same images."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.baselines: dict[str, Row] = {}

    def add(self, name: str, row: Row) -> None:
        """Take one image's metrics."""
        self.rows[name] = row

    def add_baseline(self, name: str, row: Row) -> None:
        """Take the mean metrics of a naive prediction."""
        self.baselines[name] = row

    def summary(self) -> Row:
        """Return the mean of each metric over all images.

        ``rmse`` is over all images' pixels alike, the root of the mean square; infinite and undefined values are
        left out of the other means, unless nothing else is there.
        """
        names = dict.fromkeys(name for row in self.rows.values() for name in row)
        return {name: _mean([row[name] for row in self.rows.values() if name in row], name) for name in names}

    def write(self, folder: pathlib.Path) -> None:
        """Write ``metrics.json`` (strictly valid: infinite is "inf", undefined is null) and ``metrics.csv``."""
        content = {
            "images": len(self.rows),
            "mean": _plain(self.summary()),
            "baselines": {name: _plain(row) for name, row in self.baselines.items()},
            "per_image": {name: _plain(row) for name, row in self.rows.items()},
        }
        write_text(folder / "metrics.json", json.dumps(content, indent=1, allow_nan=False))
        write_text(folder / "metrics.csv", self._csv())

    def _csv(self) -> str:
        names = list(self.summary())
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", *names])
        for image, row in self.rows.items():
            writer.writerow([image, *(repr(row[name]) if name in row else "" for name in names)])
        return text.getvalue()

    def format_table(self) -> str:
        """Return the means as lines of text, the baselines below them."""
        summary = self.summary()
        width = max(len(name) for name in ("this model", *self.baselines)) + 2
        lines = [" " * width + "".join(f"{name:>12}" for name in summary)]
        for label, row in {"this model": summary, **self.baselines}.items():
            cells = (f"{row[name]:12.4g}" if name in row else " " * 11 + "-" for name in summary)
            lines.append(f"{label:<{width}}" + "".join(cells))
        return "\n".join([f"means over {len(self.rows)} images (rmse and mae in file units):", *lines])


def _mean(values: list[float], name: str) -> float:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return values[0] if values else math.nan
    return math.sqrt(sum(v * v for v in finite) / len(finite)) if name == "rmse" else sum(finite) / len(finite)


def _plain(row: Mapping[str, float]) -> dict[str, float | str | None]:
    return {name: _json_number(value) for name, value in row.items()}


def _json_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")
