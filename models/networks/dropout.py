"""Dropout whose mask belongs to the sample, not to its place in a batch."""

from __future__ import annotations

from torch import Tensor, nn

from util.noise import rand


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) that draws by :func:`util.noise.rand`: batches can be split without a change.

    ``stream`` tells the layers of a model apart; the training sets it to the layer's name.
    """

    stream = ""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        keep = 1 - self.p
        mask = rand(x, x.shape[1:], self.stream) < keep
        return x * mask / keep
