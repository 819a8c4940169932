"""What networks return beyond a tensor."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class DiscriminatorOutput(NamedTuple):
    """What a discriminator gives at one scale.

    Attributes:
        logits: (N,1,h,w) raw scores, larger is more real; (N,c,h,w) where every patch gets c of them.
        features: intermediate activations (N,c,h,w), from shallow to deep, for feature matching.
    """

    logits: Tensor
    features: list[Tensor]
