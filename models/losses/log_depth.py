"""Distances of logarithms, for depth whose scale a single image does not tell (Eigen et al. 2014, arXiv:1406.2283)."""

from __future__ import annotations

import torch
from torch import Tensor

from util.precision import widened


def scale_invariant_log(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None, invariance: float = 0.5, offset: float = 1e-2
) -> Tensor:
    """Return mean(d^2) - invariance * mean(d)^2 over the pixels of each sample, averaged: a scalar, 0 for equal images.

    ``d`` is the difference of the logarithms of two (N,C,H,W), whose -1 counts as depth 0 and 1 as depth 1; ``offset``
    is added to both, so that depth 0 has a logarithm. With ``invariance`` 1 a common factor costs nothing, with 0 it is
    the mean squared error of logarithms.

    Args:
        mask: pixels where it is 0, (N,1,H,W), do not count and may hold anything. A sample masked whole adds 0.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
    valid = torch.ones_like(target, dtype=torch.bool) if mask is None else (mask != 0).expand_as(target)
    first, second = (_log(torch.where(valid, image, torch.ones_like(image)), offset) for image in (prediction, target))
    difference, count = (first - second).flatten(1), valid.flatten(1).sum(1).clamp_min(1)
    mean, square = difference.sum(1) / count, difference.square().sum(1) / count
    return (square - invariance * mean.square()).mean()


def _log(x: Tensor, offset: float) -> Tensor:
    wide = widened(x)
    return (wide.clamp_min(-1) * 0.5 + (0.5 + offset)).log()
