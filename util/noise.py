"""Random numbers that belong to a sample: the same in whatever batch, micro-batch or process it is computed."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

_seeds: contextvars.ContextVar[tuple[int, ...] | None] = contextvars.ContextVar("seeds", default=None)


def mix(*parts: object) -> int:
    """Return 63 well-mixed bits of the parts; the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextlib.contextmanager
def sample_noise(seeds: Sequence[int]) -> Iterator[None]:
    """Let :func:`rand` draw from each sample's own stream.

    Args:
        seeds: one per sample of the batches that are computed inside.
    """
    token = _seeds.set(tuple(seeds))
    try:
        yield
    finally:
        _seeds.reset(token)


def same_noise() -> contextlib.AbstractContextManager[None]:
    """Return a context that draws as this moment does, for work that is done later or on another thread."""
    seeds = _seeds.get()
    return sample_noise(seeds) if seeds is not None else contextlib.nullcontext()


def rand(like: Tensor, shape: Sequence[int], stream: str) -> Tensor:
    """Return (len(like), *shape) uniform float32 numbers in [0,1) on the device of ``like``.

    Inside :func:`sample_noise` sample i's numbers depend on its seed and ``stream`` alone, where ``like`` may hold the
    samples several times over; elsewhere they come from the global state.
    """
    return _drawn(like, shape, stream, Tensor.uniform_)


def randn(like: Tensor, stream: str) -> Tensor:
    """Return normal numbers of the shape and dtype of ``like``, drawn as those of :func:`rand`."""
    return _drawn(like, like.shape[1:], stream, Tensor.normal_).to(like.dtype)


def settled_randn(like: Tensor, *key: object) -> Tensor:
    """Return normal numbers of the shape and dtype of ``like`` that depend on the key alone, on every device.

    All samples get the same ones; inside :func:`sample_noise` each gets those of its seed.
    """
    seeds = _seeds.get() or (0,)
    rows = (torch.Generator().manual_seed(mix(seeds[index % len(seeds)], *key)) for index in range(len(like)))
    return torch.stack([torch.randn(like.shape[1:], generator=row) for row in rows]).to(like)


def _drawn(like: Tensor, shape: Sequence[int], stream: str, fill: Callable[..., Tensor]) -> Tensor:
    numbers = torch.empty(len(like), *shape, device=like.device)
    seeds = _seeds.get()
    if not seeds or len(like) % len(seeds):
        return fill(numbers)
    generator = torch.Generator(like.device)
    for index, row in enumerate(numbers):
        copy, sample = divmod(index, len(seeds))
        fill(row, generator=generator.manual_seed(mix(seeds[sample], stream, copy)))
    return numbers
