"""Batches as files store them -> float32 in [-1,1] on the device that computes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from data.value_range import ValueRange

Batch = dict[str, Any]


def as_float(values: Tensor, value_range: ValueRange) -> Tensor:
    """Return uint8 file values as float32, the range's ends at -1 and 1; the same bits on every device."""
    scale = 2.0 / (value_range.high - value_range.low)
    return values.to(torch.float32).mul_(scale).add_(-1.0 - value_range.low * scale)


def as_floats(batch: Batch) -> Batch:
    """Return a sample or batch with "A" and "B" as float32 in [-1,1], without "A_range" and "B_range"."""
    floats = dict(batch)
    for side in "AB":
        if f"{side}_range" in batch:
            value_range = floats.pop(f"{side}_range")
            for name in (side, f"{side}_plain"):
                if name in batch:
                    floats[name] = as_float(batch[name], value_range)
    return floats


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its tensors on a device and images as float32 in [-1,1].

    8-bit images travel as they are, a quarter of the bytes, and become floats there. From pinned memory the copy does
    not wait.
    """
    moved = {name: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for name, v in batch.items()}
    return as_floats(moved)


def prefetch(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the batches on a device as :func:`to_device` does; the next one is copied while one is in use.

    What fails in making a batch is raised when that batch is asked for, not one batch earlier.
    """
    if device.type != "cuda":
        return (to_device(batch, device) for batch in batches)
    return _one_ahead(iter(batches), device)


def _one_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    copies = torch.cuda.Stream(device)
    following = _start(batches, device, copies)
    while following is not None:
        if isinstance(following, Exception):
            raise following
        batch, following = _wait(following, device, copies), _start(batches, device, copies)
        yield batch


def _start(batches: Iterator[Batch], device: torch.device, copies: torch.cuda.Stream) -> Batch | Exception | None:
    """Begin to copy the next batch; return it, or what went wrong, or None at the end."""
    try:
        with torch.cuda.stream(copies):
            return to_device(next(batches), device)
    except StopIteration:
        return None
    except Exception as error:  # raised when its turn comes: the batch before it is whole
        return error


def _wait(batch: Batch, device: torch.device, copies: torch.cuda.Stream) -> Batch:
    """Let what is computed next wait for the copy, and keep its memory until that is done with it."""
    current = torch.cuda.current_stream(device)
    current.wait_stream(copies)
    for value in batch.values():
        if isinstance(value, Tensor):
            value.record_stream(current)
    return batch
