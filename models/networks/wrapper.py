"""Modules around a network, with the network's own keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn


class Wrapper(nn.Module):
    """A module around ``network`` whose keys are those of the network, as saved files have them.

    While ``network`` is None the keys are the module's own.
    """

    network: Any

    def take_over(self, names: Iterable[str]) -> None:
        """Declare what the network declares, of these attributes."""
        for name in names:
            if hasattr(self.network, name):
                setattr(self, name, getattr(self.network, name))

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the network's weights under its own keys."""
        return super().state_dict(*args, **kwargs) if self.network is None else self.network.state_dict(*args, **kwargs)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for key in [key for key in state_dict if self.network is not None and key.startswith(prefix)]:
            state_dict[f"{prefix}network.{key.removeprefix(prefix)}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)
