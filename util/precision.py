"""How many digits a computation is done in."""

from __future__ import annotations

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """Return float64 as it is and any other type as float32, which sums, squares and spectra need."""
    return x if x.dtype == torch.float64 else x.float()
