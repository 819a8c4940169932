"""Patchwise contrast: what a patch became must resemble what it was more than other patches (arXiv:2007.15651)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """Return the cross entropy of finding each patch's own key among those of its image, a scalar.

    Zero loss is not reached: with equal and orthogonal unit vectors it is log(1 + (P-1) exp(-1/temperature)).

    Args:
        query: (N,P,c) unit vectors of P patches of each of N outputs.
        key: the same of the inputs; no gradient flows into them.
        temperature: of the softmax.
    """
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    logits = query.to(wide) @ key.detach().to(wide).transpose(1, 2) / temperature
    own = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
    return F.cross_entropy(logits.flatten(0, 1), own.flatten())
