"""Read flags off options dataclasses and convert text to their types."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any

from util.errors import UserError, did_you_mean
from util.option import OptionInfo, info_of

_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
_NOTHING = {"none", "inf", "null"}


@dataclasses.dataclass(frozen=True)
class Flag:
    """One command line flag: a field of an options dataclass; ``item`` is the type of a tuple's parts."""

    name: str
    kind: type
    item: type
    optional: bool
    default: Any
    info: OptionInfo

    def convert(self, value: Any, source: str) -> Any:
        """Return ``value`` (text, or a YAML scalar) in the flag's type; UserError naming flag, value and fix."""
        if value is None or (self.optional and str(value).lower() in _NOTHING):
            return self._nothing(value, source)
        if self.optional and value == "":
            raise UserError(f"{source}: --{self.name} '' is empty; give a value, or leave the flag out")
        if self.info.auto and str(value).lower() == "auto":
            return 0
        converted = self._typed(value, source)
        self._check_choice(converted, source)
        for value in converted if self.kind is tuple else (converted,):
            self._check_bounds(value, source)
        return converted

    def _nothing(self, value: Any, source: str) -> None:
        if not self.optional:
            raise UserError(f"{source}: --{self.name} needs a value ({self.kind.__name__})")

    def _typed(self, value: Any, source: str) -> Any:
        if self.kind is bool:
            return self._boolean(value, source)
        if self.kind is tuple:
            parts = value if isinstance(value, list | tuple) else str(value).split(",")
            return tuple(self._item(str(part).strip(), source) for part in parts)
        return self._item(value, source)

    def _item(self, value: Any, source: str) -> Any:
        if isinstance(value, list | dict | bool) or (self.item is int and isinstance(value, float)):
            raise UserError(f"{source}: --{self.name} {value!r} is not {_ARTICLE[self.item]}")
        try:
            converted = self.item(value)
        except ValueError:
            raise UserError(f"{source}: --{self.name} {value} is not {_ARTICLE[self.item]}") from None
        if self.item is float and not math.isfinite(converted):
            raise UserError(f"{source}: --{self.name} {value} is not a finite number")
        return converted

    def _boolean(self, value: Any, source: str) -> bool:
        text = str(value).lower()
        if text not in _TRUE | _FALSE:
            raise UserError(f"{source}: --{self.name} is true or false, not '{value}'")
        return text in _TRUE

    def _check_choice(self, value: Any, source: str) -> None:
        choices = self.info.choices
        if choices is not None and value not in choices:
            hint = did_you_mean(str(value), choices)
            raise UserError(f"{source}: --{self.name} '{value}' is unknown{hint} (choose from {', '.join(choices)})")
        if self.info.registry is not None:
            self.info.registry.entry(value)

    def _check_bounds(self, value: Any, source: str) -> None:
        low, high = self.info.minimum, self.info.maximum
        if self.item is int:  # what torch and numpy can hold
            low, high = max(-_INT64 if low is None else low, -_INT64), min(_INT64 if high is None else high, _INT64)
        if low is not None and value < low:
            raise UserError(f"{source}: --{self.name} {value} is too small; the least is {_written(low)}")
        if high is not None and value > high:
            raise UserError(f"{source}: --{self.name} {value} is too large; the most is {_written(high)}")


def _written(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


_INT64 = 2**63 - 1
_ARTICLE = {int: "a whole number", float: "a number", str: "text"}


def flags_of(options: type) -> dict[str, Flag]:
    """Return the flags of an options dataclass by name, in order of declaration."""
    hints = typing.get_type_hints(options)
    return {f.name: _flag(f, hints[f.name]) for f in dataclasses.fields(options)}


def _flag(field: dataclasses.Field[Any], hint: Any) -> Flag:
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    kinds = [m for m in members if m is not type(None)]
    kind, items = typing.get_origin(kinds[0]) or kinds[0], typing.get_args(kinds[0])
    item = items[0] if kind is tuple else kind
    return Flag(field.name, kind, item, len(kinds) < len(members), field.default, info_of(field))
