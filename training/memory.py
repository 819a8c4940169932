"""Memory of a training: recognising that it ran out, needing less of it, and telling beforehand how much."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.networks.norms import same_ranks
from training.undo import Undo
from util.noise import same_noise

_NO_ROOM_ON_CPU = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on an accelerator or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _NO_ROOM_ON_CPU)


def recompute_activations(networks: Iterable[nn.Module]) -> None:
    """Let networks keep the inputs of their blocks only and compute the rest again in backward (arXiv:1604.06174).

    Blocks are the modules that say ``recompute = True``; a network without any is one block.
    """
    import torch._dynamo  # noqa: F401  # by checkpoint() anyway: before the memory in use is looked at

    for network in networks:
        blocks = [module for module in network.modules() if getattr(module, "recompute", False)] or [network]
        for block in blocks:
            block.forward = _Recomputed(block, block.forward)


class _Recomputed:
    """A block's forward whose second run, in backward, leaves the norm statistics alone."""

    def __init__(self, block: nn.Module, forward: Any) -> None:
        self.block, self.forward = block, forward

    def __call__(self, *inputs: Tensor) -> Any:
        if not torch.is_grad_enabled():
            return self.forward(*inputs)
        return checkpoint(self.forward, *inputs, use_reentrant=False, context_fn=self._contexts)

    def _contexts(self) -> tuple[Any, Any]:
        return contextlib.nullcontext(), _second_run(self.block, same_noise(), same_ranks())


@contextlib.contextmanager
def _second_run(block: nn.Module, *contexts: contextlib.AbstractContextManager[object]) -> Iterator[None]:
    statistics = Undo(block.buffers())
    try:
        with contextlib.ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context)
            yield
    finally:
        statistics.restore()


class Saved:
    """Count the bytes that a forward keeps for its backward, each storage once, weights not."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self._known = {weight.untyped_storage().data_ptr() for weight in weights}
        self._kept: list[Tensor] = []  # alive, so that no address is used twice
        self.bytes = 0

    def __enter__(self) -> Saved:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)
        self._kept.clear()

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._known.add(storage.data_ptr())
            self._kept.append(tensor)
            self.bytes += storage.nbytes()
        return tensor


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes of a training.

    Args:
        fixed: of this process before the first step, weights and moments included.
        gradients: of all players, and what a rollback would bring back.
        per_batch: kept for backward whatever the batch size, such as weights cast to bf16.
        per_image: kept for backward for each image that is computed at a time.
    """

    fixed: int
    gradients: int
    per_batch: int
    per_image: int

    def total(self, images: int) -> int:
        """Return the bytes of a step that computes so many images at a time, its temporary tensors included."""
        return self.fixed + self.gradients + self.per_batch + round(_TEMPORARY * images * self.per_image)

    def largest_batch(self, room: int, most: int) -> int:
        """Return the largest power of two up to ``most`` whose step fits into ``room`` bytes, at least 1."""
        fitting = [2**k for k in range(most.bit_length()) if 2**k <= most and self.total(2**k) <= room]
        return max(fitting, default=1)


_TEMPORARY = 1.25  # gradients of activations, and copies inside convolutions, live beside what is kept


def process_memory(device: torch.device) -> int:
    """Return the bytes in use: of this process on the CPU, of tensors on an accelerator."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return psutil.Process().memory_info().rss


def free_memory(device: torch.device) -> int:
    """Return the bytes that are still free for this process."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(psutil.virtual_memory().available, _container_room())


def _container_room() -> int:
    """Return the bytes that a container (control group, version 2) still allows this process; a great many if any."""
    group = pathlib.Path("/sys/fs/cgroup")
    try:
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return sys.maxsize
