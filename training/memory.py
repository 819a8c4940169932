"""Memory of a training: recognising that it ran out, needing less of it, and telling beforehand how much."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.guards import Undo
from util.noise import same_noise

_NO_ROOM_ON_CPU = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on an accelerator or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _NO_ROOM_ON_CPU)


def recompute_activations(networks: Iterable[nn.Module]) -> None:
    """Let networks keep the inputs of their blocks only and compute the rest again in backward (arXiv:1604.06174).

    Blocks are the modules that say ``recompute = True``; a network without any is one block.
    """
    for network in networks:
        blocks = [module for module in network.modules() if getattr(module, "recompute", False)] or [network]
        for block in blocks:
            block.forward = _Recomputed(block, block.forward)


class _Recomputed:
    """A block's forward whose second run, in backward, leaves the norm statistics alone."""

    def __init__(self, block: nn.Module, forward: Any) -> None:
        self.block, self.forward = block, forward

    def __call__(self, x: Tensor) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(x)
        return checkpoint(self.forward, x, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[Any, Any]:
        return contextlib.nullcontext(), _second_run(self.block, same_noise())


@contextlib.contextmanager
def _second_run(block: nn.Module, noise: contextlib.AbstractContextManager[None]) -> Iterator[None]:
    statistics = Undo(block.buffers())
    try:
        with noise:
            yield
    finally:
        statistics.restore()
