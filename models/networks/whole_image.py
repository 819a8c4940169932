"""Numbers for a whole image, by an encoder of timm: the depth that its background lies at, or its classes' logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.initialise import init_weights
from models.networks.timm_unet import begin_again, make_encoder


class WholeImageNet(nn.Module):
    """(N,input_nc,H,W) in [-1,1] -> ``count`` numbers without bounds, repeated to (N,count,H,W).

    As an image they are padded, cropped, averaged and stored like any other.
    """

    scale = 1

    def __init__(self, encoder: str, input_nc: int, count: int) -> None:
        super().__init__()
        self.name, self.input_nc = encoder, input_nc
        self.encoder = make_encoder(encoder, input_nc)
        self.size_multiple = self.encoder.feature_info.reduction()[-1]
        self.last = nn.Linear(self.encoder.feature_info.channels()[-1], count)

    def forward(self, x: Tensor) -> Tensor:
        numbers = self.last(self.encoder(x)[-1].mean((2, 3)))
        return numbers[..., None, None].expand(-1, -1, *x.shape[2:])

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill the encoder as timm does, and let the numbers begin near 0."""
        begin_again(self.encoder, self.name, self.input_nc, generator)
        init_weights(self.last, "normal", generator=generator)
