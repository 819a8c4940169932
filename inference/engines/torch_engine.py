"""A network in PyTorch with its weights brought into fewer bits once, and compiled where that is asked for."""

from __future__ import annotations

import copy
import sys
import time
from typing import Any

import torch
from torch import Tensor, nn

from inference.engines.choice import HALVES, Choice
from inference.tiling.memory import is_out_of_memory
from util.device import arithmetic
from util.errors import UserError, one_line

_MODES: dict[str, Any] = {
    "default": {"freezing": True},
    "max": {"freezing": True, "max_autotune": True},
}


class TorchEngine:
    """(N,C,H,W) float32 -> the same as the network gives, float32.

    Args:
        network: in inference mode; it is copied and stays as it is.
        device: where its weights are.
        choice: precision fp32, bf16 or fp16.
    """

    def __init__(self, network: nn.Module, device: torch.device, choice: Choice) -> None:
        self.device, self.choice = device, choice
        self.dtype = HALVES.get(choice.precision, torch.float32)
        self.module = copy.deepcopy(network).requires_grad_(False)
        if choice.precision in HALVES:
            halve(self.module, self.dtype)
        self._run: Any = compiled(self.module, choice.compile) if choice.compile != "off" else self.module
        self._proven = False

    def __call__(self, images: Tensor) -> Tensor:
        """Return the network's output."""
        if not self._proven:
            return self._first(images)
        if self.choice.precision in HALVES and self.dtype == torch.float32:
            with arithmetic(self.device, self.choice.precision):
                return self._run(images).float()
        with torch.autocast(self.device.type, enabled=False):
            return self._run(self._prepared(images)).float()

    def _first(self, images: Tensor) -> Tensor:
        """Return the output for the first images, which compiles; find out whether every layer takes few bits."""
        self._proven, began = True, time.perf_counter()
        try:
            result = self(images)
        except Exception as error:  # a compiler can fail anywhere
            if is_out_of_memory(error):
                raise
            return self._mended(images, error)
        if self.choice.compile != "off":
            print(f"compiled in {time.perf_counter() - began:.1f} s", file=sys.stderr)
        return result

    def _mended(self, images: Tensor, error: Exception) -> Tensor:
        """Let torch cast layer by layer where one cannot take few bits; UserError where compiling failed."""
        if self.choice.compile != "off":
            raise UserError(
                f"--compile {self.choice.compile}: {one_line(error)}; leave the flag out, or install a C++ compiler"
            ) from error
        if self.dtype == torch.float32:
            raise error
        print(f"note: cast layer by layer, which is slower: {one_line(error)}", file=sys.stderr)
        self.dtype = torch.float32
        self.module.float()
        return self(images)

    def _prepared(self, images: Tensor) -> Tensor:
        if self.dtype == torch.float32:
            return images
        return images.to(self.dtype, memory_format=torch.channels_last)


def halve(network: nn.Module, dtype: torch.dtype) -> None:
    """Bring weights into 16 bits, channels last; batch norm keeps its own in float32, and computes in it."""
    for layer in network.modules():
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm):
            for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
                if tensor.is_floating_point():
                    tensor.data = tensor.data.to(dtype)
    network.to(memory_format=torch.channels_last)


def compiled(network: nn.Module, mode: str) -> Any:
    """Return the network compiled with its weights frozen into it; the first call does the work."""
    return torch.compile(network, options=_MODES[mode])
