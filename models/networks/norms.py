"""Normalisation layers, by the names of ``--norm``."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from util.errors import UserError, did_you_mean
from util.precision import widened

NormLayer = Callable[[int], nn.Module]


def instance_norm(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Give every channel of every sample of (N,C,H,W) mean 0 and variance 1; the memory layout is kept.

    Written without ``F.instance_norm``, whose CPU backward is wrong where the layouts of input and gradient
    differ at batch 1. Group norm is the fastest exact form for contiguous maps, batch norm of single samples for
    channels_last ones. Statistics are float32 under autocast and the output keeps the input's dtype.

    Raises:
        UserError: the map is 1x1, where the result would be 0 whatever the input.
    """
    if x.shape[2] * x.shape[3] == 1:
        raise UserError("instance norm of a 1x1 feature map is always 0: use larger images or fewer layers")
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        samples = [F.batch_norm(sample, None, None, training=True, eps=eps) for sample in x.split(1)]
        return samples[0] if len(samples) == 1 else torch.cat(samples)
    with torch.autocast(x.device.type, enabled=False):
        return F.group_norm(x, x.shape[1], eps=eps)


class InstanceNorm2d(nn.Module):
    """Instance norm (Ulyanov et al. 2016) with no state, or with a learned scale and shift when ``affine``."""

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False) -> None:
        super().__init__()
        self.num_features, self.eps, self.affine = num_features, eps, affine
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        y = instance_norm(x, self.eps)
        if self.weight is None or self.bias is None:
            return y
        scale, shift = (p.to(y.dtype).view(1, -1, 1, 1) for p in (self.weight, self.bias))
        return torch.addcmul(shift, y, scale)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, affine={self.affine}"


_over_ranks: contextvars.ContextVar[bool] = contextvars.ContextVar("over_ranks", default=False)


@contextlib.contextmanager
def over_ranks() -> Iterator[None]:
    """Let :class:`SyncBatchNorm2d` wait for all ranks, which must run the same layers inside."""
    token = _over_ranks.set(dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)
    try:
        yield
    finally:
        _over_ranks.reset(token)


def same_ranks() -> contextlib.AbstractContextManager[object]:
    """Return a context that waits for other ranks as this moment does, for work done later or on another thread."""
    return over_ranks() if _over_ranks.get() else contextlib.nullcontext()


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the samples of all ranks inside :func:`over_ranks`, on any device; else plain batch norm.

    Ranks may hold unequal batches, also empty ones, even all of them. Two passes, because E[x^2] - E[x]^2 loses
    digits; the reductions are differentiable, twice.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and _over_ranks.get()):
            return super().forward(x)
        wide = widened(x)
        count = x.new_tensor(x.numel() // max(x.shape[1], 1), dtype=wide.dtype)
        dist.all_reduce(count)
        anyone, count = count.clamp_max(1), count.clamp_min(1)
        mean = _sum_over_ranks(wide.sum((0, 2, 3))) / count
        centred = wide - mean.view(1, -1, 1, 1)
        variance = _sum_over_ranks(centred.square().sum((0, 2, 3))) / count
        self._track(mean.detach(), variance.detach(), count, anyone)
        assert self.weight is not None and self.bias is not None
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor, anyone: Tensor) -> None:
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.momentum is not None and self.num_batches_tracked is not None
        self.num_batches_tracked.add_(anyone.to(self.num_batches_tracked.dtype))
        share = (self.momentum * anyone).to(self.running_mean.dtype)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        unbiased = variance * count / (count - 1).clamp_min(1)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def norm_statistics(network: nn.Module, asked: str = "auto") -> str:
    """Return whose statistics batch norm takes in a test, "running" (of the training) or "batch" (of the image).

    Args:
        asked: of ``--test_norm``; "auto" for what the network declares as its ``test_norm``.
    """
    return getattr(network, "test_norm", "running") if asked == "auto" else asked


def synchronise_batch_norm(network: nn.Module) -> None:
    """Let batch norm layers count the samples of all ranks; weights and statistics stay the same tensors."""
    for module in network.modules():
        for name, layer in module.named_children():
            if type(layer) is nn.BatchNorm2d:
                setattr(module, name, _synchronised(layer))


def _synchronised(layer: nn.BatchNorm2d) -> SyncBatchNorm2d:
    twin = SyncBatchNorm2d(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    twin.weight, twin.bias = layer.weight, layer.bias
    twin.running_mean, twin.running_var = layer.running_mean, layer.running_var
    twin.num_batches_tracked = layer.num_batches_tracked
    return twin.train(layer.training)


class _SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all ranks, differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return _sum_over_ranks(gradient)


def _sum_over_ranks(x: Tensor) -> Tensor:
    return _SumOverRanks.apply(x)


def mean_over_ranks(x: Tensor) -> Tensor:
    """Return the mean of all values, a scalar; inside :func:`over_ranks` over the values of all ranks."""
    if not _over_ranks.get():
        return x.mean()
    count = x.new_tensor(x.numel())
    dist.all_reduce(count)
    return _sum_over_ranks(x.sum()) / count.clamp_min(1)


def identity(num_features: int) -> nn.Module:
    """Return a layer that does nothing, for ``--norm none``."""
    return nn.Identity()


_LAYERS: dict[str, NormLayer] = {
    "instance": InstanceNorm2d,
    "instance_affine": functools.partial(InstanceNorm2d, affine=True),
    "batch": nn.BatchNorm2d,
    "batch_untracked": functools.partial(nn.BatchNorm2d, track_running_stats=False),
    "sync_batch": SyncBatchNorm2d,
    "syncbatch": SyncBatchNorm2d,
    "none": identity,
}


def norm_layer(name: str) -> NormLayer:
    """Return the maker of the norm called ``name``: channels -> module; UserError with the choices if unknown."""
    if name not in _LAYERS:
        raise UserError(f"unknown --norm '{name}'{did_you_mean(name, _LAYERS)} (choose from {', '.join(_LAYERS)})")
    return _LAYERS[name]


def uses_bias(name: str) -> bool:
    """Tell whether a convolution before the norm has a bias: only before instance norm, as in published weights."""
    return name.startswith("instance")
