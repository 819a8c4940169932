"""Initial weights, from an explicit generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from util.errors import UserError, did_you_mean

_FILL: dict[str, Callable[[Tensor, float, torch.Generator | None], Tensor]] = {
    "normal": lambda w, gain, g: nn.init.normal_(w, 0.0, gain, generator=g),
    "xavier": lambda w, gain, g: nn.init.xavier_normal_(w, gain, generator=g),
    "kaiming": lambda w, gain, g: nn.init.kaiming_normal_(w, generator=g),
    "orthogonal": lambda w, gain, g: nn.init.orthogonal_(w, gain, generator=g),
}
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def init_weights(
    module: nn.Module,
    init_type: str = "normal",
    init_gain: float = 0.02,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Fill the weights of ``module`` in place and return it; the same generator state gives the same weights.

    Convolutions and linear layers by ``init_type`` with bias 0; the weight of batch norm by N(1, init_gain) with
    bias 0; anything else is left as built. UserError if ``init_type`` is unknown.
    """
    if init_type not in _FILL:
        near = did_you_mean(init_type, _FILL)
        raise UserError(f"unknown --init_type '{init_type}'{near} (choose from {', '.join(_FILL)})")
    for layer in module.modules():
        if isinstance(layer, (*_CONVOLUTIONS, nn.Linear)):
            _FILL[init_type](layer.weight.data, init_gain, generator)
            _zero(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight.data, 1.0, init_gain, generator=generator)
            _zero(layer.bias)
    return module


def _zero(bias: Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias.data)
