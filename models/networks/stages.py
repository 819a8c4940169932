"""A generator as a flat list of layers, so that an image too large for it can pass through layer by layer.

A normalisation by the statistics of the whole image cannot be cut into tiles: every layer before it has to be done
with all tiles first. ``stages()`` of a generator is what ``inference.tiling`` walks to do exactly that.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.networks.norms import InstanceNorm2d


class Keep:
    """The tensor at this place is stored, to go on from it and, maybe, to be joined to a later one.

    Put one where a branch begins, and before the norms whose input is small enough to be stored rather than computed
    again.
    """


class Join:
    """The tensor of a :class:`Keep` and the current one together: their sum, or their channels in this order.

    Where the kept one has more channels, the first of them are summed.
    """

    def __init__(self, kept: Keep, *, channels: bool = False) -> None:
        self.kept, self.channels = kept, channels

    def __call__(self, kept: Tensor, x: Tensor) -> Tensor:
        """Return the two (N,C,H,W) as one."""
        return torch.cat([kept, x], 1) if self.channels else kept[:, : x.shape[1]] + x


Stage = nn.Module | Keep | Join


def run_stages(stages: Iterable[Stage], x: Tensor) -> Tensor:
    """Return what the generator itself would return for (N,C,H,W)."""
    kept: dict[Keep, Tensor] = {}
    for stage in stages:
        if isinstance(stage, Keep):
            kept[stage] = x.clone()  # a ReLU may follow that works in place
        else:
            x = stage(kept[stage.kept], x) if isinstance(stage, Join) else stage(x)
    return x


def averages_over_the_image(layer: nn.Module) -> bool:
    """Return whether a layer, as it is set now, normalises by statistics of all pixels it is given.

    Instance norm does, and so does batch norm without running statistics or in training mode.
    """
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return layer.training or layer.running_mean is None
    return isinstance(layer, InstanceNorm2d | nn.modules.instancenorm._InstanceNorm)


def image_wide_norms(network: nn.Module) -> list[nn.Module]:
    """Return the layers of a network for which :func:`averages_over_the_image` holds."""
    return [layer for layer in network.modules() if averages_over_the_image(layer)]
