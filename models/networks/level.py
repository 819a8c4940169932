"""A number for a whole image, by an encoder of timm: such as the depth that its background lies at."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.initialise import init_weights
from models.networks.timm_unet import begin_again, make_encoder


class LevelNet(nn.Module):
    """(N,input_nc,H,W) in [-1,1] -> one value in [-1,1] for each of output_nc channels, repeated to (N,output_nc,H,W).

    As an image it is looked at, tested and stored like any other.
    """

    scale = 1

    def __init__(self, encoder: str, input_nc: int, output_nc: int) -> None:
        super().__init__()
        self.name, self.input_nc = encoder, input_nc
        self.encoder = make_encoder(encoder, input_nc)
        self.size_multiple = self.encoder.feature_info.reduction()[-1]
        self.last = nn.Linear(self.encoder.feature_info.channels()[-1], output_nc)

    def forward(self, x: Tensor) -> Tensor:
        level = self.last(self.encoder(x)[-1].mean((2, 3))).tanh()
        return level[..., None, None].expand(-1, -1, *x.shape[2:])

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill the encoder as timm does, and let the level begin near the middle of the range."""
        begin_again(self.encoder, self.name, self.input_nc, generator)
        init_weights(self.last, "normal", generator=generator)
