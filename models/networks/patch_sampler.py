"""CUT's projection of patches' features onto a sphere (Park et al. 2020, arXiv:2007.15651)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from util.noise import rand


class PatchSampler(nn.Module):
    """A small network for each layer: features of random places -> unit vectors.

    Args:
        channels: of each layer's features.
        width: length of the vectors.
        patches: places in each image; all of them where there are not so many.
    """

    def __init__(self, channels: Sequence[int], width: int = 256, patches: int = 256) -> None:
        super().__init__()
        self.patches = patches
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in channels
        )

    def places(self, features: Sequence[Tensor], stream: str) -> list[Tensor]:
        """Return the numbers (N,P) of places in each layer, which belong to the sample and the step."""
        found = []
        for layer, feature in enumerate(features):
            count = feature.shape[2] * feature.shape[3]
            scores = rand(feature, (count,), f"{stream} {layer}")
            found.append(scores.topk(min(self.patches, count), 1).indices)
        return found

    def project(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Return unit vectors (N,P,width) of each layer's (N,c,h,w) at some places."""
        vectors = []
        for head, feature, at in zip(self.heads, features, places, strict=True):
            flat = feature.flatten(2).transpose(1, 2)
            chosen = flat.gather(1, at[..., None].expand(-1, -1, flat.shape[2]))
            with torch.autocast(feature.device.type, enabled=False):
                vectors.append(F.normalize(head(chosen.to(next(head.parameters()).dtype)), dim=2, eps=1e-7))
        return vectors
