"""Which device to compute on, and the arithmetic to do it in."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from util.compute import ComputeOptions
from util.errors import UserError
from util.malloc import keep_freed_memory


def choose_device(gpu_ids: str) -> torch.device:
    """Return the device that ``--gpu_ids`` names; the CPU, said in one line, where there is no accelerator.

    Raises:
        UserError: the text is no list of numbers, or names a GPU that this machine does not have.
    """
    ids = _parse(gpu_ids)
    rank = os.environ.get("LOCAL_RANK")
    if rank is not None and ids and ids[0] >= 0:  # torchrun starts one process for each GPU
        ids = [int(rank)]
    if not ids or ids[0] < 0:
        return torch.device("cpu")
    if not torch.accelerator.is_available():
        print("no GPU found: running on the CPU (--gpu_ids -1 says so without this note)", file=sys.stderr)
        return torch.device("cpu")
    count = torch.accelerator.device_count()
    if ids[0] >= count:
        if rank is not None:
            raise UserError(f"torchrun --nproc_per_node: more processes than GPUs; this machine has {count}")
        raise UserError(f"--gpu_ids {gpu_ids}: this machine has {count} GPU(s), numbered from 0")
    if len(ids) > 1:
        raise UserError(
            f"--gpu_ids {gpu_ids}: name one GPU; to train on several, torchrun --nproc_per_node {len(ids)} train.py ..."
        )
    accelerator = torch.accelerator.current_accelerator()
    assert accelerator is not None
    return torch.device(accelerator.type, ids[0])


def _parse(gpu_ids: str) -> list[int]:
    try:
        return [int(part) for part in gpu_ids.split(",") if part.strip()]
    except ValueError:
        raise UserError(f"--gpu_ids {gpu_ids}: write a GPU's number, such as 0, or -1 for the CPU") from None


@dataclass(frozen=True)
class Compute:
    """Where and how networks run.

    Args:
        precision: "fp32", "tf32", "bf16" or "fp16"; weights are fp32 in all of them.
        channels_last: the memory layout of images and convolution weights.
        compile: "off", or the mode of torch.compile, "default" or "max".
        reason: why it was chosen so, for the user.
    """

    device: torch.device
    precision: str = "fp32"
    channels_last: bool = False
    compile: str = "off"
    reason: str = ""

    @property
    def scales(self) -> bool:
        """Whether losses must be scaled up before backward, as the small range of fp16 needs."""
        return self.precision == "fp16"

    @property
    def halves(self) -> bool:
        """Whether forwards cast weights to 16 bits."""
        return self.precision in ("bf16", "fp16")

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context of one forward; a longer one would keep casts of weights that have been updated."""
        return arithmetic(self.device, self.precision)

    def place(self, module: nn.Module) -> None:
        """Move a module to the device and its convolution weights into the memory layout."""
        if self.device.type == "cpu":
            keep_freed_memory()
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.precision != "fp32"
        module.to(self.device)
        module.to(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)

    def image(self, value: Tensor) -> Tensor:
        """Move a tensor to the device; (N,C,H,W) also into the memory layout."""
        moved = value.to(self.device, non_blocking=True)
        return moved.contiguous(memory_format=torch.channels_last) if self.channels_last and moved.ndim == 4 else moved

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, compiled where that is asked for; its modules keep their names and stay usable."""
        if self.compile == "off":
            return function
        return torch.compile(function, mode="max-autotune-no-cudagraphs" if self.compile == "max" else None)

    def line(self) -> str:
        """Return one line that tells the user what was chosen, and why."""
        layout = ", channels last" if self.channels_last else ""
        compiled = f", compiled ({self.compile})" if self.compile != "off" else ""
        return f"{self.device}, {self.precision}{layout}{compiled}" + (f": {self.reason}" if self.reason else "")


def choose_compute(options: ComputeOptions, device: torch.device) -> Compute:
    """Settle what the flags leave open by what is fastest on this machine.

    Raises:
        UserError: the machine cannot compute in that precision.
    """
    fastest, why = fastest_precision(device)
    precision, reason = options.precision, "as --precision says"
    if precision == "auto":
        precision, reason = fastest, why
    elif precision == "bf16" != fastest:  # a run that was begun on another machine
        reason = f"{reason}, but {why}; --precision fp32 is faster here"
    if precision in ("tf32", "fp16") and device.type != "cuda":
        raise UserError(f"--precision {precision} needs an NVIDIA GPU; use bf16, fp32 or auto")
    layout = options.channels_last
    if layout is None:
        layout = precision in ("bf16", "fp16")
    return Compute(device, precision, layout, options.compile, reason)


def fastest_precision(device: torch.device) -> tuple[str, str]:
    """Return bf16 where the machine has units for it, which make convolutions several times as fast, and the reason."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "the GPU has bf16 units"
        return "fp32", "the GPU has no bf16 units"
    ask: Callable[[], Any] = getattr(torch.cpu, "get_capabilities", dict)  # older versions of torch cannot tell
    capabilities = ask()
    units = [name for name in _BF16_UNITS if capabilities.get(name)]
    if units:
        return "bf16", f"the processor has bf16 units ({units[0]})"
    return "fp32", "the processor has no bf16 units"


_BF16_UNITS = ("amx_bf16", "avx512_bf16")


def arithmetic(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """Return the autocast context of ``--precision``; open one per forward, never across a weight update."""
    if precision in ("fp32", "tf32"):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.float16 if precision == "fp16" else torch.bfloat16)
