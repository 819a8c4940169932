"""Initial weights, from an explicit generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from models.networks.common import INIT_TYPES
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
    bias 0; anything else is left as built. "published" lets a network that has its own ``initialise(generator)`` do
    that, and is "normal" for the others. UserError if ``init_type`` is unknown.
    """
    if init_type == "published":
        own = getattr(module, "initialise", None)
        if callable(own):
            own(generator)
            return module
        init_type = "normal"
    if init_type not in _FILL:
        near = did_you_mean(init_type, INIT_TYPES)
        raise UserError(f"unknown --init_type '{init_type}'{near} (choose from {', '.join(INIT_TYPES)})")
    for layer in module.modules():
        if (weight := _weight(layer)) is not None:
            _FILL[init_type](weight.data, init_gain, generator)
            _zero(getattr(layer, "bias", None))
            _settle(layer)
        elif isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight.data, 1.0, init_gain, generator=generator)
            _zero(layer.bias)
    return module


def _zero(bias: Tensor | None) -> None:
    if bias is not None:
        nn.init.zeros_(bias.data)


def init_uniform(layers: Iterable[nn.Module], generator: torch.Generator | None = None) -> None:
    """Fill convolutions and linear layers among ``layers`` as PyTorch itself does: within 1 / sqrt(fan in)."""
    for layer in layers:
        if (weight := _weight(layer)) is not None:
            bound = 1 / math.sqrt(nn.init._calculate_fan_in_and_fan_out(weight)[0])
            for parameter in (weight, getattr(layer, "bias", None)):
                if parameter is not None:
                    nn.init.uniform_(parameter.data, -bound, bound, generator=generator)
            _settle(layer)


def init_residual(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """Fill with a tenth of He et al. 2015, so that residuals begin small (Wang et al. 2018, arXiv:1809.00219)."""
    init_weights(module, "kaiming", generator=generator)
    for layer in module.modules():
        if (weight := _weight(layer)) is not None:
            weight.data.mul_(0.1)


def _weight(layer: nn.Module) -> Tensor | None:
    """Return the weight of a convolution or linear layer, the one that is trained where a norm of it is used."""
    if isinstance(layer, (*_CONVOLUTIONS, nn.Linear)):
        return layer.weight
    return getattr(layer, "weight_orig", None)


def _settle(layer: nn.Module) -> None:
    """Let a layer follow its new weight where it keeps more about it."""
    settle = getattr(layer, "settle", None)
    if callable(settle):
        settle()
