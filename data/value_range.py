"""One affine map per data set between file values and [-1,1], never one per image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from util.errors import UserError

DTYPE_RANGES = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "float32": (0.0, 1.0)}
T = TypeVar("T")
_PIXELS, _PERCENTILES, _MARGIN = 20_000, (0.1, 99.9), 0.05


@dataclass(frozen=True)
class ValueRange:
    """File values ``low`` and ``high`` stand for -1 and 1; values beyond them are kept, not clipped."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"a value range needs finite low < high, not {self.low}, {self.high}")

    def normalize(self, array: np.ndarray) -> np.ndarray:
        """Map file values of any dtype to float32, [low, high] to [-1, 1]; non-finite values become -1."""
        scale = 2.0 / (self.high - self.low)
        wide = np.asarray(array).astype(np.float64)
        result = ((wide - self.low) * scale - 1.0).astype(np.float32)
        return np.where(np.isfinite(result), result, np.float32(-1)) if array.dtype.kind == "f" else result

    def restore(self, array: Any) -> np.ndarray:
        """Map [-1,1] back to file units, float64; the inverse of :meth:`normalize`."""
        return (np.asarray(array).astype(np.float64) + 1.0) * ((self.high - self.low) / 2.0) + self.low

    def to_dict(self) -> dict[str, float]:
        """Return plain numbers for a saved run."""
        return {"low": self.low, "high": self.high}

    @classmethod
    def from_dict(cls, values: dict[str, float]) -> ValueRange:
        """Return the range that :meth:`to_dict` described."""
        return cls(float(values["low"]), float(values["high"]))


def as_dtype(array: np.ndarray, dtype: str) -> np.ndarray:
    """Convert file units to a file's dtype: rounded and clipped for integers, never truncated or wrapped."""
    if np.dtype(dtype).kind == "f":
        return np.asarray(array).astype(dtype)
    limits = np.iinfo(dtype)
    finite = np.nan_to_num(np.asarray(array, dtype=np.float64), nan=limits.min)
    return np.clip(np.rint(finite), limits.min, limits.max).astype(dtype)


def parse_spec(spec: str) -> tuple[str | ValueRange, str | ValueRange]:
    """Read ``--value_range``: one SPEC for both sides or SOURCE/TARGET; SPEC is auto, dtype or MIN,MAX."""
    parts = spec.split("/")
    if len(parts) > 2:
        raise UserError(f"--value_range {spec}: write one range, or SOURCE/TARGET")
    return _parse_one(parts[0]), _parse_one(parts[-1])


def _parse_one(text: str) -> str | ValueRange:
    if text in ("auto", "dtype"):
        return text
    try:
        low, high = (float(part) for part in text.split(","))
        return ValueRange(low, high)
    except ValueError:
        raise UserError(f"--value_range {text}: write auto, dtype or MIN,MAX with MIN < MAX, such as 0,4095") from None


def resolve_range(spec: str | ValueRange, dtype: str, images: Callable[[], Iterable[np.ndarray]]) -> ValueRange:
    """Return the range of one side.

    ``dtype`` gives 0..255, 0..65535 or 0..1; ``auto`` gives the same for 8-bit files and otherwise
    :func:`estimate_range` over ``images()``, which should be the training split's.
    """
    if isinstance(spec, ValueRange):
        return spec
    if spec == "dtype" or dtype == "uint8":
        return ValueRange(*DTYPE_RANGES[dtype])
    return estimate_range(images(), dtype)


def spread(items: Sequence[T], count: int = 64) -> Sequence[T]:
    """Return at most ``count`` evenly spaced items."""
    return items[:: -(-len(items) // count) or 1]


def estimate_range(images: Iterable[np.ndarray], dtype: str) -> ValueRange:
    """Estimate a robust range: percentiles 0.1 and 99.9 of pooled pixels and a margin of 5 %.

    Non-finite pixels are left out; integer ranges stay within their dtype.
    """
    pooled = np.concatenate([np.empty(0), *(_finite_sample(image) for image in images)])
    if not pooled.size:
        raise UserError("no finite pixel in the training images; give --value_range MIN,MAX")
    low, high = (float(v) for v in np.percentile(pooled, _PERCENTILES))
    margin = _MARGIN * (high - low) or 0.5
    low, high = low - margin, high + margin
    if dtype == "uint16":
        low, high = max(low, 0.0), min(high, 65535.0)
    return ValueRange(low, high)


def _finite_sample(image: np.ndarray) -> np.ndarray:
    flat = image.reshape(-1)[:: max(1, image.size // _PIXELS)].astype(np.float64)
    return flat[np.isfinite(flat)]
