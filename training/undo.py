"""Copies of what a step may change."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Undo:
    """Copies of tensors that a step may change, to take it back exactly.

    Restoring does not count as a change for autograd: norm statistics may stand in a graph that is still to be used,
    but its backward does not read them.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = list(tensors)
        self.copies = [tensor.detach().clone() for tensor in self.tensors]

    @torch.no_grad()
    def restore(self, where: Tensor | None = None) -> None:
        """Bring the copied values back; with a device flag only where it is true, without waiting for it."""
        for tensor, copy in zip(self.tensors, self.copies, strict=True):
            tensor.data.copy_(copy if where is None else torch.where(where, copy, tensor))
