"""The one place that converts between the range a network works in and the [-1,1] of methods and Predictor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.initialise import init_uniform

UNIT, SYMMETRIC = (0.0, 1.0), (-1.0, 1.0)


class UnitRange(nn.Module):
    """A network published for images in [0,1]: ``published`` is what its paper or code computes.

    As built it maps [0,1] to [0,1], so that weights made elsewhere give there and here the same. After :meth:`adapt`,
    which the Builder calls, the same weights map [-1,1] to [-1,1]; ``value_range`` says which. Keys do not change.
    """

    size_multiple = 1
    scale = 1
    value_range = UNIT

    def published(self, x: Tensor) -> Tensor:
        """Return the output (N,output_nc,scale*H,scale*W) for (N,input_nc,H,W), both in [0,1]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        if self.value_range == UNIT:
            return self.published(x)
        return from_unit(self.published(to_unit(x)))

    def adapt(self) -> None:
        """Work in [-1,1] from now on."""
        self.value_range = SYMMETRIC

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill the weights as the network was published with: PyTorch's own distribution where nothing is said."""
        init_uniform(self.modules(), generator)


class ToUnit(nn.Identity):
    """[-1,1] -> [0,1] as a layer; an Identity, because tiling asks no more of it than of one."""

    def forward(self, x: Tensor) -> Tensor:
        return to_unit(x)


class FromUnit(nn.Identity):
    """[0,1] -> [-1,1] as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return from_unit(x)


def to_unit(x: Tensor) -> Tensor:
    """Return values of [-1,1] in [0,1]."""
    return x * 0.5 + 0.5


def from_unit(x: Tensor) -> Tensor:
    """Return values of [0,1] in [-1,1]."""
    return x * 2 - 1


def in_symmetric_range(network: nn.Module) -> nn.Module:
    """Let a network that declares another ``value_range`` work in [-1,1], and return it."""
    if getattr(network, "value_range", SYMMETRIC) != SYMMETRIC:
        if not isinstance(network, UnitRange):
            raise TypeError(f"{type(network).__name__} has value_range {network.value_range}: derive from UnitRange")
        network.adapt()
    return network
