"""Modules around a network, with the network's own keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class Wrapper(nn.Module):
    """A module around ``network`` whose keys are those of the network, as saved files have them.

    While ``network`` is None the keys are the module's own. ``declared`` names what it declares as the network does.
    """

    network: Any
    declared: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether there is no network yet: its weights will tell which one it is."""
        return self.network is None or getattr(self.network, "waits", False)

    def fit(self) -> None:
        """Become what fits around the network; called by :meth:`adopt` again where this had to wait."""
        for name in self.declared:
            if hasattr(self.network, name):
                setattr(self, name, getattr(self.network, name))

    def adopt(self, state: Mapping[str, Tensor], source: str = "the weights") -> None:
        """Let a network that waits become the one that the weights belong to; UserError if none is known."""
        if self.waits:
            self.network.adopt(state, source)
            self.fit()

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the network's weights under its own keys."""
        return super().state_dict(*args, **kwargs) if self.network is None else self.network.state_dict(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for key in [key for key in state_dict if self.network is not None and key.startswith(prefix)]:
            state_dict[f"{prefix}network.{key.removeprefix(prefix)}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)
