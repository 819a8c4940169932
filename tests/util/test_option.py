"""A flag is a field of a frozen dataclass."""

from __future__ import annotations

import dataclasses

import pytest

from util.option import OptionInfo, info_of, option
from util.registry import Registry


@dataclasses.dataclass(frozen=True)
class Example:
    size: int = option(3, "how large", "identity", minimum=1, maximum=9)
    kind: str = option("a", "which", choices=["a", "b"])


def test_fields_keep_default_help_scope_and_bounds() -> None:
    size, kind = dataclasses.fields(Example)
    assert Example() == Example(3, "a")
    assert info_of(size) == OptionInfo("how large", "identity", None, None, 1, 9)
    assert info_of(kind).choices == ("a", "b")
    assert info_of(kind).scope == "training"


def test_a_field_may_name_a_registry() -> None:
    registry = Registry("X", "x", "util")
    field = option("a", "help", registry=registry)
    assert field.metadata["option"].registry is registry


def test_options_cannot_be_changed_after_parsing() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Example().size = 4  # type: ignore[misc]
