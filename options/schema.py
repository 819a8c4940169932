"""Groups of flags: those that a command always has, and those of the components that it chooses."""

from __future__ import annotations

import dataclasses

from util.flags import Flag, flags_of
from util.registry import Registry

__all__ = ["Component", "Flag", "flags_of"]


@dataclasses.dataclass(frozen=True)
class Component:
    """One group of flags: a root dataclass, or the component that a selector flag chose."""

    title: str
    options: type
    selector: str | None = None
    registry: Registry | None = None
    name: str | None = None
