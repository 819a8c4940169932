"""LPIPS (Zhang et al. 2018), with weights that are already on this machine: nothing is downloaded, nothing random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models.losses.lpips import SMALLEST, find_network

Lpips = Callable[[np.ndarray, np.ndarray], float]


class PerceptualDistance:
    """LPIPS of two images; called with (H,W,C) values in [0,1], returns a number of 0 or more.

    One channel is repeated to three; of more than three the first three count. Images under 32 pixels give NaN.
    """

    def __init__(self, network: nn.Module, name: str = "") -> None:
        self.network, self.name = network, name

    @torch.no_grad()
    def __call__(self, fake: np.ndarray, real: np.ndarray) -> float:
        if min(fake.shape[:2]) < SMALLEST:
            return float("nan")
        return float(self.network(_tensor(fake), _tensor(real)))


def load(weights: str | None) -> tuple[PerceptualDistance | None, str]:
    """Return LPIPS and its name, or None and the reason why there is none; from ``--lpips_weights``.

    UserError where the file is missing or holds something else.
    """
    network, name = find_network(weights, "--lpips_weights")
    return (None if network is None else PerceptualDistance(network, name)), name


def _tensor(image: np.ndarray) -> Tensor:
    """Return (1,3,H,W) float32 in [-1,1] of (H,W,C) in [0,1]."""
    colour = np.repeat(image[..., :1], 3, axis=2) if image.shape[2] < 3 else image[..., :3]
    return torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1), np.float32))[None] * 2.0 - 1.0
