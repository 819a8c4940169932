"""Flags of prepare.py taken from the options dataclasses, so that a subcommand speaks as the training does."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from collections.abc import Collection
from typing import Any, TypeVar

from util.errors import UserError
from util.option import info_of

T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser, options: type, leave_out: Collection[str] = ()) -> None:
    """Declare one flag per field that the parser does not have yet."""
    types = typing.get_type_hints(options)
    known = {action.dest for action in parser._actions} | set(leave_out)
    for field in dataclasses.fields(options):
        if field.name not in known:
            _add(parser, field, types[field.name])


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], kind: Any) -> None:
    info, flag = info_of(field), f"--{field.name}"
    text = info.help + ("" if field.default is None else " (%(default)s)")
    if kind is bool:
        parser.add_argument(flag, action="store_true", help=text)
        return
    plain = next(one for one in typing.get_args(kind) or (kind,) if one is not type(None))
    parser.add_argument(flag, type=plain, default=field.default, choices=info.choices, help=text)


def read_options(args: argparse.Namespace, options: type[T]) -> T:
    """Return the options that the parsed flags give; UserError for a number outside its limits."""
    fields = dataclasses.fields(options)  # type: ignore[arg-type]
    for field in fields:
        info, value = info_of(field), getattr(args, field.name, None)
        low, high = info.minimum, info.maximum
        if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
            limits = f"from {low:g} to {high:g}" if high is not None else f"at least {low:g}"
            raise UserError(f"--{field.name} {value}: must be {limits}")
    return options(**{field.name: getattr(args, field.name) for field in fields if hasattr(args, field.name)})
