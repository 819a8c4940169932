"""Focal frequency loss (Jiang et al. 2021, arXiv:2012.12821): spectra compared, badly matched frequencies first."""

from __future__ import annotations

import torch
from torch import Tensor

from util.precision import widened


def focal_frequency_loss(prediction: Tensor, target: Tensor, alpha: float = 1.0) -> Tensor:
    """Return the mean squared distance of the spectra of two (N,C,H,W), a scalar.

    Each frequency weighs as much as its own distance to the power of ``alpha``, relative to the worst one of its image
    and channel; the weights carry no gradient. Spectra are orthonormal, so that without weights this would be the mean
    squared error.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
    difference = torch.fft.fft2(widened(prediction) - widened(target), norm="ortho")
    squares = difference.real.square() + difference.imag.square()
    distances = squares.detach().sqrt() ** alpha
    weights = distances / distances.amax((2, 3), keepdim=True).clamp_min(torch.finfo(distances.dtype).tiny)
    return (weights * squares).mean()
