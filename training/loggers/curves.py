"""Loss curves as inline SVG: one small panel per loss, since their scales differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 360, 150, 44, 18, 6, 6
_BUCKETS = 90
_Map = Callable[[np.ndarray], np.ndarray]


def svg_curve(x: Sequence[float], y: Sequence[float], x_unit: str) -> str:
    """Return an ``<svg>`` of y over x: the mean line over a band from smallest to largest value.

    Args:
        x: positions, ascending.
        y: values; NaN and infinity are left out.
        x_unit: what x counts, written under the axis.
    """
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    kept = np.isfinite(ys)
    xs, ys = xs[kept], ys[kept]
    if not xs.size:
        return ""
    centres, low, mean, high = _buckets(xs, ys)
    ticks = _ticks(*_y_limits(low, high))
    to_x, to_y = _scale(centres[0], centres[-1], ticks[0], ticks[-1])
    line = _points(to_x(centres), to_y(mean))
    band = _points(np.r_[to_x(centres), to_x(centres)[::-1]], np.r_[to_y(high), to_y(low)[::-1]])
    grid = "".join(_grid_line(to_y(np.array(tick)).item(), tick) for tick in ticks)
    return (
        f'<svg class="curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{grid}'
        f'<polygon class="band" points="{band}"/><polyline class="mean" points="{line}"/>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 4}">{xs[0]:.3g}</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{x_unit} {xs[-1]:.4g}</text></svg>'
    )


def _buckets(xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return at most ``_BUCKETS`` (x, min, mean, max) of consecutive points, the last x exact."""
    starts = np.unique(np.linspace(0, xs.size, min(_BUCKETS, xs.size), endpoint=False).astype(int))
    counts = np.diff(np.r_[starts, xs.size])
    mean = np.add.reduceat(ys, starts) / counts
    centres = np.add.reduceat(xs, starts) / counts
    return centres, np.minimum.reduceat(ys, starts), mean, np.maximum.reduceat(ys, starts)


def _y_limits(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """Return limits that one spike cannot flatten everything else with."""
    bottom, top = float(low.min()), float(np.quantile(high, 0.98) if high.size > 20 else high.max())
    top = max(top, bottom)
    margin = (top - bottom) * 0.05 or abs(top) * 0.1 or 1.0
    return bottom - margin if bottom < 0 else max(0.0, bottom - margin), top + margin


def _ticks(low: float, high: float) -> np.ndarray:
    """Return round numbers from at or below ``low`` to at or above ``high``, about four steps apart."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return np.arange(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1) * step


def _scale(x0: float, x1: float, y0: float, y1: float) -> tuple[_Map, _Map]:
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def to_x(x: np.ndarray) -> np.ndarray:
        return _LEFT + width * (x - x0) / ((x1 - x0) or 1.0)

    def to_y(y: np.ndarray) -> np.ndarray:
        return _TOP + height * (1.0 - np.clip((y - y0) / ((y1 - y0) or 1.0), 0.0, 1.0))

    return to_x, to_y


def _points(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{px:.1f},{py:.1f}" for px, py in zip(x, y, strict=True))


def _grid_line(y: float, value: float) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 5}" y="{y + 3:.1f}" text-anchor="end">{value:.4g}</text>'
    )
