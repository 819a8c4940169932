"""Convolutions of bounded slope, for discriminators."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SpectralConv2d(nn.Module):
    """A convolution whose weight is divided by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).

    Its tensors are named as PyTorch's first ``spectral_norm`` named them: weight_orig, and the two vectors of the power
    iteration, which takes one step in each forward of training. Unlike there it can be copied at any time.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 1, *, bias: bool = False
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.weight_orig = nn.Parameter(torch.empty(outputs, inputs, size, size))
        self.register_buffer("weight_u", torch.empty(outputs))
        self.register_buffer("weight_v", torch.empty(inputs * size * size))
        nn.init.kaiming_uniform_(self.weight_orig, 5**0.5)
        self.settle()

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            matrix = self.weight_orig.flatten(1)
            if self.training:
                self._step(matrix)
            u, v = self.weight_u.clone(), self.weight_v.clone()  # a next forward may move them before the backward
            weight = self.weight_orig / torch.dot(u, matrix @ v)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.conv2d(x, weight.to(x.dtype), bias, self.stride, self.padding)

    @torch.no_grad()
    def _step(self, matrix: Tensor) -> None:
        self.weight_v.copy_(F.normalize(matrix.t() @ self.weight_u, dim=0, eps=1e-12))
        self.weight_u.copy_(F.normalize(matrix @ self.weight_v, dim=0, eps=1e-12))

    def settle(self) -> None:
        """Begin the power iteration anew, after the weight was filled."""
        self.weight_u.fill_(len(self.weight_u) ** -0.5)
        for _ in range(15):
            self._step(self.weight_orig.detach().flatten(1))
