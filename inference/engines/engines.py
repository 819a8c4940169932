"""The engines of a predictor's networks: made once, all of one choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from inference.engines.choice import Choice
from inference.engines.graph_engine import GraphEngine, check_backend
from inference.engines.torch_engine import TorchEngine
from inference.settings import EngineOptions
from util.device import fastest_precision

Engine = Callable[[Tensor], Tensor]
Calibration = Callable[[], Sequence[Mapping[str, Tensor]]]


class Engines:
    """Gives every network its engine.

    Args:
        options: what the user asked for; what they leave open is settled by ``inference.engines.settle``.
        device: to compute on.
        calibration: returns the batches for int8, as the Predictor takes them.

    Raises:
        UserError: a library is missing, or cannot compute in this precision or on this device.
    """

    def __init__(self, options: EngineOptions, device: torch.device, calibration: Calibration | None = None) -> None:
        self.options, self.device, self.calibration = options, device, calibration
        self.choice: Choice | None = None
        self.recorded: Mapping[nn.Module, Sequence[Tensor]] = {}
        self._made: dict[nn.Module, Engine] = {}
        check_backend(Choice(options.precision, options.backend, options.compile), device)

    @property
    def eager(self) -> bool:
        """Return whether the user asks for the layers of torch, one after the other."""
        return self.options.backend == "torch" and self.options.compile == "off"

    def use(self, choice: Choice, recorded: Mapping[nn.Module, Sequence[Tensor]] | None = None) -> None:
        """Compute so from now on.

        Args:
            recorded: for int8, images as each network gets them.
        """
        self.choice, self.recorded = choice, recorded or {}
        self._made.clear()

    def agree(self, from_first: Callable[[Choice | None], Choice | None]) -> None:
        """Compute as the first of several processes does."""
        choice = from_first(self.choice)
        if choice is not None and choice != self.choice:
            self.use(choice, self.recorded)

    def keep(self, choice: Choice) -> None:
        """Say more of how it is computed now, such as how exact that was found to be."""
        self.choice = choice

    def move(self, device: torch.device) -> None:
        """Compute on another device from now on."""
        self.device = device
        self._made.clear()

    def of(self, network: nn.Module) -> Engine | None:
        """Return what computes a network, which must be as it was built; None: the network itself."""
        if self.choice is None or self.choice.plain:
            return None
        if network not in self._made:
            self._made[network] = self._make(network, self.choice)
        return self._made[network]

    def _make(self, network: nn.Module, choice: Choice) -> Engine:
        if choice.backend == "torch":
            return TorchEngine(network, self.device, choice)
        rest = fastest_precision(self.device)[0] if choice.precision == "int8" else "fp32"
        return GraphEngine(network, choice, self.recorded.get(network), rest)
