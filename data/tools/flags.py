"""Flags of prepare.py taken from the options dataclasses, so that a subcommand speaks as the training does."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from util.flags import Flag, flags_of

T = TypeVar("T")


def add_options(parser: argparse.ArgumentParser, options: type, leave_out: Collection[str] = ()) -> None:
    """Declare one flag per field that the parser does not have yet."""
    known = {action.dest for action in parser._actions} | set(leave_out)
    for name, flag in flags_of(options).items():
        if name not in known:
            _add(parser, flag)


def _add(parser: argparse.ArgumentParser, flag: Flag) -> None:
    text = flag.info.help + ("" if flag.default is None else " (%(default)s)")
    default = ",".join(map(str, flag.default)) or () if flag.kind is tuple else flag.default
    switch: dict[str, Any] = {"nargs": "?", "const": True} if flag.kind is bool else {"choices": flag.info.choices}
    parser.add_argument(
        f"--{flag.name}",
        action=_Given,
        type=lambda word: flag.convert(word, parser.prog),
        default=default,
        help=text,
        **switch,
    )


class _Given(argparse.Action):
    """Store a value, and that the command line gave it."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, values)
        namespace.given = {*_given(namespace), self.dest}


def _given(args: argparse.Namespace) -> Collection[str]:
    return getattr(args, "given", ())


def read_options(args: argparse.Namespace, options: type[T], preset: Mapping[str, Any]) -> T:
    """Return the options that the parsed flags give; where they give none, those of a preset."""
    flags = flags_of(options)
    values = {name: getattr(args, name) for name in flags if hasattr(args, name)}
    return options(**values | {name: preset[name] for name in flags if name in preset and name not in _given(args)})
