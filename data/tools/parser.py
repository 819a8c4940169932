"""An argument parser whose mistakes are one line with the nearest right spelling."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from util.errors import UserError, did_you_mean


class Parser(argparse.ArgumentParser):
    """Flags and subcommands must be spelled out; errors are raised as UserError."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **(kwargs | {"allow_abbrev": False}))

    def error(self, message: str) -> NoReturn:
        """Raise argparse's message as a UserError, with a suggestion for a misspelt choice."""
        wrong = re.search(r"invalid choice: '([^']*)'", message)
        choices = [str(choice) for action in self._actions for choice in action.choices or ()]
        hint = did_you_mean(wrong[1], choices) if wrong else f" (see {self.prog} --help)"
        raise UserError(f"{self.prog}: {message}{hint}")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; unlike argparse, every parser reports its own unknown flags, which a subcommand would pass up."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            flags = [flag for action in self._actions for flag in action.option_strings]
            raise UserError(f"{self.prog}: unknown argument {name}{did_you_mean(name, flags)}")
        empty = [name for name, value in vars(parsed).items() if value == ""]
        if empty:
            raise UserError(f"{self.prog}: --{empty[0]} '' is empty; give a value, or leave the flag out")
        return parsed, unknown
