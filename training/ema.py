"""Running averages of the generators' weights, which make steadier pictures than the last weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of networks (as in Karras et al. 2018, arXiv:1710.10196), in fp32 or wider.

    The decay starts low, (1 + t) / (10 + t) after t updates, so that the first random weights are soon forgotten.
    Buffers, such as norm statistics, are averages already and are copied.

    Args:
        networks: by name.
        decay: per update, such as 0.999.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float) -> None:
        self.networks, self.decay, self.updates = dict(networks), decay, 0
        self.weights = {key: value.detach().clone() for key, value in self._live()}

    def _live(self) -> Iterator[tuple[str, Tensor]]:
        for name, network in self.networks.items():
            for key, value in network.state_dict(keep_vars=True).items():
                yield f"{name}.{key}", value

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights into account."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages: list[Tensor] = []
        present: list[Tensor] = []
        for key, value in self._live():
            if isinstance(value, nn.Parameter):
                averages.append(self.weights[key])
                present.append(value)
            else:
                self.weights[key].copy_(value)
        torch._foreach_lerp_(averages, present, 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the networks hold the averaged weights inside."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for key, value in self._live():
            present = value.detach().clone()
            value.copy_(self.weights[key])
            self.weights[key].copy_(present)

    def state_dict(self) -> dict[str, Any]:
        """Return the averages and their number of updates."""
        return {"updates": self.updates, "weights": dict(self.weights)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; tensors are copied."""
        self.updates = state["updates"]
        for key, value in state["weights"].items():
            self.weights[key].copy_(value)
