"""Feature matching: what a discriminator sees of generated images, compared with the real ones (arXiv:1606.03498)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from models.networks.outputs import DiscriminatorOutput
from util.precision import widened


def feature_matching(fake: list[DiscriminatorOutput], real: list[DiscriminatorOutput]) -> Tensor:
    """Return the mean absolute difference of the features, averaged over layers and scales, a scalar.

    No gradient flows into ``real``. pix2pixHD (Wang et al. 2018, arXiv:1711.11585) adds up the four layers of each
    scale, so that its weight of 10 is 40 here.
    """
    pairs = [
        (ours, theirs)
        for made, true in zip(fake, real, strict=True)
        for ours, theirs in zip(made.features, true.features, strict=True)
    ]
    return torch.stack([F.l1_loss(widened(ours), widened(theirs.detach())) for ours, theirs in pairs]).mean()
