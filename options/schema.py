"""Groups of flags: those that a command always has, and those of the components that it chooses."""

from __future__ import annotations

import dataclasses

from util.registry import Registry


@dataclasses.dataclass(frozen=True)
class Component:
    """One group of flags: a root dataclass, or the component that a selector flag chose."""

    title: str
    options: type
    selector: str | None = None
    registry: Registry | None = None
    name: str | None = None
