"""Ways to double the size inside a generator, and how far a pixel is seen through them.

Transposed convolutions of odd overlap leave a checkerboard (Odena et al. 2016, doi:10.23915/distill.00003). Enlarging
before an ordinary convolution has none, nor has, when it begins, a pixel shuffle whose four sub-images start out equal
(ICNR, Aitken et al. 2017, arXiv:1707.02937).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from models.networks.common import UPSAMPLINGS
from util.errors import UserError, did_you_mean

Step = Callable[[int, int], tuple[int, int]]


class ShuffledConv2d(nn.Conv2d):
    """A 3x3 convolution to (N,4*outputs,H,W), for a pixel shuffle; initial weights of the four are equal."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__(inputs, 4 * outputs, 3, padding=1, bias=bias)
        self.settle()

    def settle(self) -> None:
        """Let the four convolutions that make one channel begin alike, after the weights were filled."""
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                parts = parameter.data.unflatten(0, (-1, 4))
                parts.copy_(parts[:, :1].clone().expand_as(parts))


def doubling(kind: str, inputs: int, outputs: int, kernel: int, *, bias: bool) -> nn.Module:
    """Return a layer (N,inputs,H,W) -> (N,outputs,2H,2W); UserError for an unknown ``--upsample``.

    Args:
        kernel: side of the transposed convolution, 3 or 4, as published for the network; the others have 3.
    """
    if kind == "transpose":
        return nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1, output_padding=kernel % 2, bias=bias)
    if kind == "resize":
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias))
    if kind == "pixelshuffle":
        return nn.Sequential(ShuffledConv2d(inputs, outputs, bias), nn.PixelShuffle(2))
    near = did_you_mean(kind, UPSAMPLINGS)
    raise UserError(f"unknown --upsample '{kind}'{near} (choose from {', '.join(UPSAMPLINGS)})")


def doubled(kind: str, kernel: int) -> Step:
    """Return which positions of its input a range of positions behind :func:`doubling` depends on."""
    return {
        "transpose": lambda low, high: (-(-(low + 2 - kernel) // 2), (high + 1) // 2),
        "resize": lambda low, high: ((low - 1) // 2, (high + 1) // 2),
        "pixelshuffle": lambda low, high: (low // 2 - 1, high // 2 + 1),
    }[kind]


def halved(kernel: int) -> Step:
    """Return the same of a convolution with stride 2 and padding 1."""
    return lambda low, high: (2 * low - 1, 2 * high + kernel - 2)


def around(reach: int) -> Step:
    """Return the same of convolutions that look so many pixels to each side."""
    return lambda low, high: (low - reach, high + reach)


def receptive_field(steps: Sequence[Step], period: int) -> int:
    """Return the most pixels to each side that a pixel depends on through all steps, from input to output.

    Args:
        period: pixels after which the dependence repeats.
    """
    reaches = []
    for position in range(period):
        low = high = position
        for step in reversed(steps):
            low, high = step(low, high)
        reaches += [position - low, high - position]
    return max(reaches)
