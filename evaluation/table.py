"""How metrics are named, ordered and printed. Free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from data.protocol import WIDTHS

METRICS = {
    **{"psnr": "PSNR", "ssim": "SSIM", "ms_ssim": "MS-SSIM", "psnr_y": "PSNR Y", "ssim_y": "SSIM Y"},
    **{"lpips": "LPIPS", "rmse": "RMSE", "mae": "MAE", "fid": "FID", "kid": "KID"},
    **{"fid_torchvision": "FID (torchvision Inception)", "kid_torchvision": "KID (torchvision Inception)"},
    **{"fid_lite0": "FID (EfficientNet-lite0)", "kid_lite0": "KID (EfficientNet-lite0)"},
}
METRICS |= {"hole_psnr": "PSNR in holes", "hole_mae": "MAE in holes", "accuracy": "accuracy"}
METRICS |= {f"hole_psnr_{width}": f"PSNR in {width} holes" for width in WIDTHS}
METRICS |= {f"lpips_{width}": f"LPIPS, {width} holes" for width in WIDTHS}
LOWER_IS_BETTER = (
    *("lpips", "rmse", "mae", "fid", "kid", "hole_mae", *(f"lpips_{width}" for width in WIDTHS)),
    *("fid_torchvision", "kid_torchvision", "fid_lite0", "kid_lite0"),
)
_PLACES = {"psnr": 2, "ssim": 4, "ms_ssim": 4, "psnr_y": 2, "ssim_y": 4, "lpips": 4}
_PLACES |= {f"{metric}_{width}": places for width in WIDTHS for metric, places in (("hole_psnr", 2), ("lpips", 4))}
_PLACES |= {"hole_psnr": 2}


def sorted_metrics(rows: Iterable[Mapping[str, float]]) -> list[str]:
    """Return the metrics found in any row: the known ones in their order, then others as they came."""
    found = dict.fromkeys(metric for row in rows for metric in row)
    known = [metric for metric in METRICS if metric in found]
    return known + [metric for metric in found if metric not in METRICS]


def title(metric: str) -> str:
    """Return the name to show for a metric."""
    return METRICS.get(metric, metric)


def format_number(metric: str, value: float) -> str:
    """Return a value for people; a dash for NaN."""
    if math.isnan(value):
        return "-"
    places = _PLACES.get(metric)
    return f"{value:.4g}" if places is None or math.isinf(value) else f"{value:.{places}f}"


def format_rows(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return rows of metrics as text in columns, a line each below a line of titles."""
    metrics = sorted_metrics(rows.values())
    lines = [["", *(title(metric) for metric in metrics)]]
    for name, row in rows.items():
        lines.append([name, *(format_number(metric, row.get(metric, math.nan)) for metric in metrics)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(metrics) + 1)]
    return "\n".join(_columns(line, widths) for line in lines)


def interval_line(found: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return one line with the intervals of the means, or none."""
    shown = (
        f"{title(metric)} {' to '.join(format_number(metric, end) for end in found[metric])}"
        for metric in sorted_metrics([dict.fromkeys(found, 0.0)])
    )
    return [f"95 % intervals of the means (bootstrap over images): {', '.join(shown)}"] if found else []


def better_lines(better: Mapping[str, Mapping[str, int]], images: int) -> list[str]:
    """Return a line for each baseline: on how many of the images the model is better, by metric."""
    lines = []
    for baseline, counts in better.items():
        shown = ", ".join(f"{title(metric)} {counts[metric]}" for metric in sorted_metrics([counts]))
        lines.append(f"better than {baseline}, of {images} image{'s' * (images != 1)}: {shown}")
    return lines


def _columns(line: list[str], widths: list[int]) -> str:
    cells = [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
    return "  ".join(cells).rstrip()
