"""Distances between images, pixel by pixel; means of per-sample means, so that batches can be split."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from util.precision import widened


def l1(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference of two (N,C,H,W), a scalar.

    Pixels where ``mask`` ((N,1,H,W) or the shape of the images) is zero do not count and may hold anything, NaN
    too. A sample that is masked whole adds 0.
    """
    return _masked_mean(prediction, target, mask, torch.abs)


def mse(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return the mean squared difference of two (N,C,H,W), a scalar; ``mask`` as in :func:`l1`."""
    return _masked_mean(prediction, target, mask, torch.square)


def charbonnier(prediction: Tensor, target: Tensor, mask: Tensor | None = None, eps: float = 1e-3) -> Tensor:
    """Return the mean of sqrt(d^2 + eps^2) - eps over the differences d of two (N,C,H,W), a scalar; ``mask`` as above.

    L1 that is smooth around 0 (Lai et al. 2017, arXiv:1704.03915); the offset makes it zero for equal images.
    """
    return _masked_mean(prediction, target, mask, lambda d: (d.square() + eps * eps).sqrt() - eps)


def blanked(image: Tensor, mask: Tensor | None) -> Tensor:
    """Return (N,C,H,W) with -1, as data sets leave it, where ``mask`` (N,1,h,w) is zero; as it is without a mask.

    What looks at more than single pixels, a network or a window, then sees no difference of two images there. The
    mask of an unpaired image is brought to the size of this one.
    """
    if mask is None:
        return image
    mask = mask if mask.shape[-2:] == image.shape[-2:] else F.interpolate(mask, image.shape[-2:])
    return torch.where(mask != 0, image, -torch.ones_like(image))


def _masked_mean(
    prediction: Tensor, target: Tensor, mask: Tensor | None, distance: Callable[[Tensor], Tensor]
) -> Tensor:
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
    difference = widened(prediction) - widened(target)
    if mask is None:
        return distance(difference).mean()
    valid = (mask != 0).expand_as(difference)
    per_pixel = distance(torch.where(valid, difference, torch.zeros_like(difference)))
    return (per_pixel.flatten(1).sum(1) / valid.flatten(1).sum(1).clamp_min(1)).mean()
