"""How much memory a network takes for an image, known before it runs, and how much there is."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from util.errors import UserError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
#: What convolutions take besides their tensors: input and output once more in the layout of the library
_WORKSPACE = 2.4
_OVERHEAD = 32 * 10**6  # bytes for compressors, file buffers and what an allocator does not give back
_STILL_TO_COME = 15 * 10**7  # bytes of libraries and buffers that a program may not hold yet when it says what it needs
_UNKNOWN = 4 * 10**9  # bytes assumed where the system does not say
_MODEST = 2 * 10**9  # bytes that a program may take on any machine of today
#: What allocators say, and oneDNN, which says no more
_NO_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc", "could not create a primitive",
              "could not create a memory", "failed to allocate")  # fmt: skip
_LEAST = 5 * 10**8  # bytes for tiles, however large the program is without them


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside the block and not yet freed; ``peak`` is the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._track(tensor.untyped_storage())
        return result

    def _track(self, storage: Any) -> None:
        key = storage.data_ptr()
        if key in self._known or not key:
            return
        self._known.add(key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, key, storage.nbytes())

    def _freed(self, key: int, count: int) -> None:
        self._known.discard(key)
        self.now -= count


@torch.no_grad()
def bytes_per_pixel(network: Callable[[Tensor], Tensor], channels: int, side: int, device: torch.device) -> float:
    """Return the memory a network takes for each pixel of its input, measured on a small square image."""
    x = torch.zeros(1, channels, side, side, device=device)
    with LiveBytes() as live:
        network(x)
    return _WORKSPACE * (live.peak + x.nbytes) / side**2


def probe_side(size_multiple: int) -> int:
    """Return a small image's side that suits a network."""
    return max(1, -(-96 // size_multiple)) * size_multiple


def parse_memory(text: str | None) -> int | None:
    """Return bytes for ``--max_memory``, such as 2GB, 800M or 1.5g; UserError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    if match is None or not float(match[1]):
        raise UserError(f"--max_memory {text}: write a size such as 2GB or 800MB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


@dataclass(frozen=True)
class Budget:
    """Bytes that may be taken on a device.

    Args:
        most: for what cannot be had for less.
        whole: for an image that could go through in tiles too.
        tiles: for tiles, and what is kept beside them.
    """

    most: int
    whole: int
    tiles: int


def budget_of(device: torch.device, limit: int | None) -> Budget:
    """Return what may be taken so that other programs go on, unless ``limit`` says how much (see free_memory).

    On the CPU an image that could be cut is taken whole within a quarter of the machine's memory, or 2 GB where that
    is more; tiles leave the whole program within 2 GB, as larger ones are hardly faster.
    """
    most = free_memory(device, limit)
    if limit is not None or device.type != "cpu":
        return Budget(most, most, most)
    tiles = max(_LEAST, _MODEST - resident() - _OVERHEAD)
    return Budget(most, min(most, max(_MODEST, _all_on_cpu() // 4)), min(most, tiles))


def free_memory(device: torch.device, limit: int | None) -> int:
    """Return the bytes that may still be taken on a device.

    Args:
        limit: of the whole program on the CPU, or of the tensors on an accelerator; None: four fifths of what is
            free.
    """
    if device.type != "cpu":
        with contextlib.suppress(AttributeError, RuntimeError, NotImplementedError):
            free, _ = torch.cuda.mem_get_info(device) if device.type == "cuda" else (_UNKNOWN, 0)
            return int(0.8 * free) if limit is None else min(limit, free)
        return limit or _UNKNOWN
    return int(0.8 * _free_on_cpu()) if limit is None else max(0, limit - resident() - _OVERHEAD)


def least_limit(device: torch.device, needed: float) -> int:
    """Return a ``--max_memory`` that leaves so many bytes."""
    return int(1.05 * needed) + (resident() + _OVERHEAD + _STILL_TO_COME if device.type == "cpu" else 0)


def resident() -> int:
    """Return the bytes of memory that this process holds; 300 MB where the system does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 300 * 10**6


def _free_on_cpu() -> int:
    limits = [max(0, limit - used) for limit, used in (*_cgroup(), *_address_space())]
    return min([_meminfo("MemAvailable"), *limits])


def _all_on_cpu() -> int:
    return min([_meminfo("MemTotal"), *(limit for limit, _ in _cgroup())])


def _meminfo(name: str) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    return _UNKNOWN


def _cgroup() -> list[tuple[int, int]]:
    """Return a container's limit and how much of it is used; empty where there is none."""
    folder = pathlib.Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        limit, used = (int((folder / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
        return [(limit, used)]
    return []


def _address_space() -> list[tuple[int, int]]:
    """Return the limit of ``ulimit -v``, as clusters set it, and how much of it is used; empty where there is none."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # which Windows has not

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return [(limit, pages * os.sysconf("SC_PAGE_SIZE"))] if limit != resource.RLIM_INFINITY else []
    return []


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on the CPU or on an accelerator."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(known in words for known in _NO_MEMORY)


def human(count: float) -> str:
    """Return bytes as people write them: 2.3 GB, 410 MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
