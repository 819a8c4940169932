"""Samples -> one batch, or the one line that says why they do not make one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from data.transfer import Batch, as_floats
from data.value_range import ValueRange


@dataclass(frozen=True)
class Failure:
    """A user's mistake found in a worker, on its way to the main process."""

    message: str


def collate(samples: list[dict[str, Any] | Failure]) -> Batch | Failure:
    """Stack tensors to (N, ...) and list the rest; a Failure among the samples, or unequal sizes, give a Failure.

    Images that are all uint8 of one range stay so, with that range once for the batch; else all become floats.
    """
    good = [sample for sample in samples if not isinstance(sample, Failure)]
    if len(good) < len(samples):
        return next(sample for sample in samples if isinstance(sample, Failure))
    _fill_masks(good)
    good = _of_one_kind(good)
    for name, value in good[0].items():
        odd = next((s for s in good if torch.is_tensor(value) and s[name].shape != value.shape), None)
        if odd is not None:
            return Failure(_unequal(name, good[0], odd))
    return {name: _join([sample[name] for sample in good]) for name in good[0]}


def emptied(batch: Batch | Failure) -> Batch | Failure:
    """Return the batch without its samples: tensors (0, ...) and empty lists."""
    if isinstance(batch, Failure):
        return batch
    return {name: value[:0] if isinstance(value, Tensor | list) else value for name, value in batch.items()}


def _join(values: list[Any]) -> Any:
    if isinstance(values[0], ValueRange):
        return values[0]
    return torch.stack(values) if torch.is_tensor(values[0]) else values


def _fill_masks(samples: list[dict[str, Any]]) -> None:
    """Give every sample an "A_mask", or a "B_mask", when one has it."""
    for side in "AB":
        if any(f"{side}_mask" in sample for sample in samples):
            for sample in samples:
                sample.setdefault(f"{side}_mask", torch.ones_like(sample[side][:1], dtype=torch.float32))


def _of_one_kind(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the samples, as floats when some are stored otherwise than others."""
    kinds = [(sample.get("A_range"), sample.get("B_range")) for sample in samples]
    return samples if all(kind == kinds[0] for kind in kinds) else [as_floats(sample) for sample in samples]


def _unequal(name: str, first: dict[str, Any], other: dict[str, Any]) -> str:
    paths = f"{name[0]}_paths"
    (h1, w1), (h2, w2) = first[name].shape[-2:], other[name].shape[-2:]
    return (
        f"{first.get(paths, name)} gives {w1}x{h1} pixels, {other.get(paths, name)} {w2}x{h2}: one batch needs one "
        "size; use --preprocess resize_and_crop or scale_width_and_crop, or --batch_size 1"
    )
