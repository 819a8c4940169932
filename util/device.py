"""Which device to compute on, and the arithmetic to do it in."""

from __future__ import annotations

import contextlib
import sys

import torch

from util.errors import UserError


def choose_device(gpu_ids: str) -> torch.device:
    """Return the device that ``--gpu_ids`` names; the CPU, said in one line, where there is no accelerator.

    Raises:
        UserError: the text is no list of numbers, or names a GPU that this machine does not have.
    """
    ids = _parse(gpu_ids)
    if not ids or ids[0] < 0:
        return torch.device("cpu")
    if not torch.accelerator.is_available():
        print("no GPU found: running on the CPU (--gpu_ids -1 says so without this note)", file=sys.stderr)
        return torch.device("cpu")
    count = torch.accelerator.device_count()
    if ids[0] >= count:
        raise UserError(f"--gpu_ids {gpu_ids}: this machine has {count} GPU(s), numbered from 0")
    if len(ids) > 1:
        raise UserError(f"--gpu_ids {gpu_ids}: name one GPU; training on several at once is not supported")
    accelerator = torch.accelerator.current_accelerator()
    assert accelerator is not None
    return torch.device(accelerator.type, ids[0])


def _parse(gpu_ids: str) -> list[int]:
    try:
        return [int(part) for part in gpu_ids.split(",") if part.strip()]
    except ValueError:
        raise UserError(f"--gpu_ids {gpu_ids}: write a GPU's number, such as 0, or -1 for the CPU") from None


def arithmetic(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return the autocast context of ``--precision``; open one per forward, never across a weight update."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
