"""The --help page: one group per component, the chosen components' own flags included."""

from __future__ import annotations

import shutil
import textwrap

from options.resolve import Options
from util.flags import Flag, flags_of

_COLUMN = 26


def format_help(script: str, summary: str, options: Options) -> str:
    """Return the whole help text for the components that ``options`` chose."""
    width = min(shutil.get_terminal_size((120, 40)).columns, 120)
    shown: set[str] = set()
    parts = [f"usage: python {script} [--flag value ...]", "", *textwrap.wrap(summary, width)]
    for component in options.components:
        flags = [f for f in flags_of(component.options).values() if f.name not in shown]
        shown |= {f.name for f in flags}
        if flags:
            parts += ["", *textwrap.wrap(component.title, width)]
            parts += [_format_flag(flag, options.values[flag.name], width) for flag in flags]
    return "\n".join(parts)


def _format_flag(flag: Flag, value: object, width: int) -> str:
    head = f"  --{flag.name}"
    text = f"{flag.info.help} ({_facts(flag, value)})"
    lines = textwrap.wrap(text, width - _COLUMN)
    if len(head) > _COLUMN - 2:
        return "\n".join([head, *(" " * _COLUMN + line for line in lines)])
    return "\n".join([head.ljust(_COLUMN) + lines[0], *(" " * _COLUMN + line for line in lines[1:])])


def _facts(flag: Flag, value: object) -> str:
    names = flag.info.registry.names() if flag.info.registry else flag.info.choices
    shown = "" if value is None else ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    default = f"default: {shown or 'none'}"
    return f"{default}; one of {', '.join(names)}" if names else default
