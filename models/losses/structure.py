"""Structural similarity as a distance (Wang et al. 2004; several scales: Wang et al. 2003).

It compares the brightness of windows by their means and so needs a black of 0: images are lifted from [-1,1] to [0,2].
Variances are small differences of large numbers, which only full precision keeps: autocast does not reach them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from util.errors import UserError
from util.precision import widened

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # of a range of 2
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def ssim_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return 1 - SSIM of two (N,C,H,W) in [-1,1], H and W at least 11: a scalar, 0 for equal images."""
    _check(prediction, target)
    return 1 - _similarity(_lifted(prediction), _lifted(target))[0].mean()


def ms_ssim_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Return 1 - MS-SSIM of two (N,C,H,W) in [-1,1], a scalar; as many of five scales as the size allows.

    H and W are at least 11; from 176 pixels all five scales count. Negative contrasts count as 0.
    """
    _check(prediction, target)
    x, y = _lifted(prediction), _lifted(target)
    scales = next(n for n in range(len(_WEIGHTS), 0, -1) if min(x.shape[2:]) >> (n - 1) >= _WINDOW)
    weights = torch.tensor(_WEIGHTS[:scales], dtype=x.dtype, device=x.device)
    values = []
    for number in range(scales):
        whole, contrast = _similarity(x, y)
        values.append(F.relu(whole if number == scales - 1 else contrast))
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    powers = torch.stack(values).clamp_min(1e-8) ** (weights / weights.sum()).view(-1, 1, 1)
    return 1 - powers.prod(0).mean()


def _similarity(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM and its contrast and structure part, each (N,C)."""
    mean_x, mean_y = _smooth(x), _smooth(y)
    variance_x, variance_y = _smooth(x * x) - mean_x**2, _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    contrast = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return (luminance * contrast).flatten(2).mean(2), contrast.flatten(2).mean(2)


def _smooth(x: Tensor) -> Tensor:
    """Return the Gaussian means of all windows that lie within (N,C,H,W)."""
    places = torch.arange(_WINDOW, dtype=x.dtype, device=x.device) - _WINDOW // 2
    weights = torch.exp(-(places**2) / (2 * _SIGMA**2))
    kernel = (weights / weights.sum()).repeat(x.shape[1], 1, 1, 1)
    with torch.autocast(x.device.type, enabled=False):
        rows = F.conv2d(x, kernel, groups=x.shape[1])
        return F.conv2d(rows, kernel.transpose(2, 3), groups=x.shape[1])


def _check(prediction: Tensor, target: Tensor) -> None:
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and target {tuple(target.shape)} differ in shape")
    if min(prediction.shape[2:]) < _WINDOW:
        height, width = prediction.shape[2:]
        raise UserError(f"the SSIM loss needs images of at least {_WINDOW}x{_WINDOW} pixels, not {width}x{height}")


def _lifted(x: Tensor) -> Tensor:
    """Return values of [-1,1] in [0,2], in float32 or float64."""
    return widened(x) + 1
