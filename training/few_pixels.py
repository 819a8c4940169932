"""Convolutions of many channels over few pixels as plain matrix products, for training on the CPU.

At the bottom of a U-Net the library spends its time on bringing megabytes of weights into its own order and back, not
on the few pixels. Patches times the weights as they lie in memory give the same numbers, up to rounding, sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.optimizers import is_channels_last

Pair = tuple[int, int]
_MOST_PIXELS = 256  # of a batch; from there on the library is as fast
_LEAST_WEIGHTS = 1 << 18  # fewer are soon brought into order


def multiply_where_few(networks: Iterable[nn.Module]) -> None:
    """Let the large convolutions of the networks compute maps of few pixels as matrix products.

    They are those with channels_last weights, whose kernels lie in memory as products want them.
    """
    for module in (module for network in networks for module in network.modules()):
        if type(module) in _PRODUCTS and _suits(module):
            module.forward = _Few(module, module.forward)


def _suits(layer: Any) -> bool:
    """Return whether a convolution is large and plain: no groups, no holes, borders of zeros."""
    plain = layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"
    plain = plain and not isinstance(layer.padding, str) and not any(layer.output_padding)
    return plain and layer.weight.numel() >= _LEAST_WEIGHTS and is_channels_last(layer.weight)


class _Few:
    """The forward of a convolution in training: a product where that is faster, else as usual."""

    def __init__(self, layer: nn.Module, usual: Callable[[Tensor], Tensor]) -> None:
        self.layer, self.usual = layer, usual

    def __call__(self, x: Tensor) -> Tensor:
        layer: Any = self.layer
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        if not layer.transposed:
            pixels //= layer.stride[0] * layer.stride[1]
        if not torch.is_grad_enabled() or not 0 < pixels <= _MOST_PIXELS:
            return self.usual(x)
        y = _PRODUCTS[type(layer)](x, layer.weight, layer.stride, layer.padding)
        return y if layer.bias is None else y + layer.bias.to(y.dtype).view(1, -1, 1, 1)


def convolve(x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Return ``F.conv2d(x, weight, None, stride, padding)``, (N,O,H',W') for (N,I,H,W) and (O,I,h,w)."""
    patches = _Patches.apply(x, weight.shape[2:], stride, padding)
    rows = patches.permute(0, 2, 3, 4, 5, 1).reshape(-1, weight[0].numel())
    return (rows @ _matrix(weight).t()).view(len(x), *patches.shape[2:4], -1).permute(0, 3, 1, 2)


def convolve_transposed(x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Return ``F.conv_transpose2d(x, weight, None, stride, padding)``, (N,O,H',W') for (N,I,H,W) and (I,O,h,w)."""
    rows = x.permute(0, 2, 3, 1).reshape(-1, len(weight)) @ _matrix(weight)
    parts = rows.view(len(x), *x.shape[2:], *weight.shape[2:], -1).permute(0, 5, 1, 2, 3, 4)
    size = [(x.shape[2 + d] - 1) * stride[d] - 2 * padding[d] + weight.shape[2 + d] for d in (0, 1)]
    return _Sum.apply(parts, size, stride, padding)


def _matrix(weight: Tensor) -> Tensor:
    """Return (O,I,h,w) weights as a matrix (O, h*w*I), a view of channels_last ones."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


class _Patches(torch.autograd.Function):
    """(N,C,H,W) -> (N,C,H',W',h,w): what each place of a kernel (h,w) sees at each of its H' x W' positions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
        ctx.given = x.shape[2:], stride, padding
        padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
        return padded.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return _Sum.apply(gradient, *ctx.given), None, None, None


class _Sum(torch.autograd.Function):
    """(N,C,H',W',h,w) -> (N,C,H,W): every value added where :class:`_Patches` would have taken it from."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, size: Pair, stride: Pair, padding: Pair) -> Tensor:
        batch, channels, rows, columns, height, width = parts.shape
        ctx.given = (height, width), stride, padding
        padded = parts.new_zeros(batch, size[0] + 2 * padding[0], size[1] + 2 * padding[1], channels)
        total = padded.permute(0, 3, 1, 2)
        for i in range(height):
            for j in range(width):
                total[:, :, i :: stride[0], j :: stride[1]][:, :, :rows, :columns] += parts[..., i, j]
        inside = total[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]
        return inside.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        return _Patches.apply(gradient, *ctx.given), None, None, None


_PRODUCTS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.Conv2d: convolve,
    nn.ConvTranspose2d: convolve_transposed,
}
