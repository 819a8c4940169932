"""Declare command line flags as fields of frozen dataclasses, beside the code that uses them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from util.registry import Registry

Scope = Literal["identity", "training", "session"]


@dataclasses.dataclass(frozen=True)
class OptionInfo:
    """What the parser needs to know of one flag beyond its name, type and default."""

    help: str
    scope: Scope
    choices: tuple[str, ...] | None = None
    registry: Registry | None = None
    minimum: float | None = None
    maximum: float | None = None
    auto: bool = False


def option(
    default: Any,
    help: str,
    scope: Scope = "training",
    *,
    choices: Sequence[str] | None = None,
    registry: Registry | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    auto: bool = False,
) -> Any:
    """Declare a flag as a dataclass field; the field's name is the flag's name.

    Args:
        default: value when no preset, saved run, config file or command line gives one.
        help: one sentence for ``--help``.
        scope: ``identity`` (what the network is: always restored from a run), ``training`` (restored on
            resume) or ``session`` (loader, display, device: never restored).
        choices: the allowed values of a closed set.
        registry: the value names a component of this registry, whose own flags then join the command line.
        minimum: smallest allowed number, inclusive.
        maximum: largest allowed number, inclusive.
        auto: the word "auto" is allowed too, and becomes 0: the program settles the number.
    """
    info = OptionInfo(help, scope, tuple(choices) if choices is not None else None, registry, minimum, maximum, auto)
    return dataclasses.field(default=default, metadata={"option": info})


def info_of(field: dataclasses.Field[Any]) -> OptionInfo:
    """Return the :class:`OptionInfo` of a field made by :func:`option`."""
    return field.metadata["option"]
