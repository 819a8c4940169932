"""Write docs/flags.md from the options dataclasses: ``python -m docs.make_flags`` in the project's folder."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator, Sequence

from data.tools.parser import Parser
from options.base_options import REGISTRIES, BaseOptions
from options.export_options import ExportOptions
from options.schema import Component
from options.serve_options import ServeOptions
from options.spellings import RENAMED
from options.test_options import TestOptions
from options.train_options import TrainOptions
from prepare import TOOLS
from util.flags import Flag, flags_of
from util.registry import Registry

PAGE = pathlib.Path(__file__).with_name("flags.md")
KEPT = {"identity": "fixed", "training": "restored", "session": ""}
INTRODUCTION = """# All flags

This page is made by `python -m docs.make_flags` from the same declarations that `--help` reads; do not edit it by hand.

Write `--name value`. A switch such as `--no_flip` needs no value; `--no_flip false` turns it off. Names are never
abbreviated. Optional numbers (default `none`) take `inf` or `none` for "no limit". Lists are written with commas:
`--plugin a.py,b.py`.

A value comes from the last of these that gives one: the default below, what the method presets, the saved run, the
file of `--config`, the command line. `train_opt.txt` in the run's folder tells where each value came from.

The column *Kept* says what a saved run does with a flag. **fixed**: it makes the network what it is; `test.py` and
`--continue_train` restore it, and a different value is an error. **restored**: both restore it, and you may change it.
Empty: it belongs to the one command and is not restored.

`test.py` has defaults of its own: phase `test`, batch size 1, images in order, no mirroring, no cache, and
`--load_size` equal to `--crop_size`.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    parts = [INTRODUCTION, *_roots(), *(part for registry in REGISTRIES for part in _components(registry))]
    return "\n".join([*parts, *_prepare(), *_spellings()])


def _roots() -> Iterator[str]:
    """Yield the groups that every command has: those of both scripts, then those of one."""
    commands: list[BaseOptions] = [TrainOptions(), TestOptions(), ServeOptions(), ExportOptions()]
    scripts: dict[type, list[str]] = {}
    groups: dict[type, Component] = {}
    for command in commands:
        for group in command.roots():
            scripts.setdefault(group.options, []).append(f"`{command.script}`")
            groups[group.options] = group
    shown: set[tuple[str, str]] = set()
    for options, group in groups.items():
        users = scripts[options]
        flags = [f for f in flags_of(options).values() if not {(user, f.name) for user in users} <= shown]
        shown |= {(user, flag.name) for user in users for flag in flags}
        yield f"## {group.title.capitalize()} ({' and '.join(users)})\n"
        yield _table(flags)


def _components(registry: Registry) -> Iterator[str]:
    """Yield one heading per kind and one section per component, aliases with their canonical name."""
    yield f"## {registry.kind[0].upper()}{registry.kind[1:]}s\n"
    for name in registry.names():
        if registry.canonical(name) == name:
            yield from _component(registry, name)


def _component(registry: Registry, name: str) -> Iterator[str]:
    entry = registry.entry(name)
    aliases = [f"`{other}`" for other in registry.names() if other != name and registry.canonical(other) == name]
    yield f"### {registry.kind} `{name}`" + (f" (also {', '.join(aliases)})" if aliases else "") + "\n"
    yield _cell(entry.summary) + "\n"
    if entry.preset:
        yield "Presets: " + ", ".join(f"`--{flag} {_value(value)}`" for flag, value in entry.preset.items()) + "\n"
    flags = list(flags_of(registry.options(name)).values())
    yield _table(flags) if flags else "No flags of its own.\n"


def _table(flags: Sequence[Flag]) -> str:
    rows = [f"| `--{f.name}` | {_default(f.default)} | {_help(f)} | {KEPT[f.info.scope]} |" for f in flags]
    return "\n".join(["| Flag | Default | Meaning | Kept |", "|---|---|---|---|", *rows, ""])


def _help(flag: Flag) -> str:
    info = flag.info
    choices = info.registry.names() if info.registry else info.choices
    text = f"{info.help}; one of {', '.join(f'`{c}`' for c in choices)}" if choices else info.help
    if info.minimum is not None and info.maximum is not None:
        text += f" ({info.minimum:g} to {info.maximum:g})"
    elif info.minimum:
        text += f" (at least {info.minimum:g})"
    return _cell(text)


def _default(value: object) -> str:
    return f"`{_value(value)}`"


def _value(value: object) -> str:
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _prepare() -> Iterator[str]:
    """Yield the subcommands of prepare.py."""
    yield "## `prepare.py`\n"
    for command, (tool, summary) in TOOLS.items():
        parser = Parser(prog=f"prepare.py {command}")
        tool.add_arguments(parser)
        rows = [row for action in parser._actions if (row := _argument(action))]
        yield f"### `prepare.py {command}`\n\n{summary[0].upper()}{summary[1:]}.\n"
        yield "\n".join(["| Flag | Default | Meaning |", "|---|---|---|", *rows, ""])


def _argument(action: argparse.Action) -> str | None:
    if isinstance(action, argparse._HelpAction):
        return None
    name = action.option_strings[-1] if action.option_strings else action.dest
    default = "required" if action.required else _default(action.default)
    meaning = (action.help or "").replace("(default: %(default)s)", "").replace("(%(default)s)", "").strip()
    choices = "; one of " + ", ".join(f"`{c}`" for c in action.choices) if action.choices else ""
    return f"| `{name}` | {default} | {_cell(meaning + choices)} |"


def _spellings() -> Iterator[str]:
    """Yield the older names that are still accepted."""
    yield "## Older spellings\n"
    yield "These still work; the new name is printed.\n"
    rows = [f"| `--{old}` | `--{new}` |" for old, new in RENAMED.items()]
    yield "\n".join(["| Older | Today |", "|---|---|", *rows, "| `--no_lsgan` | `--gan_mode vanilla` |", ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
