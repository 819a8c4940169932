"""The options file of a run: written at the start of training, read by resuming and testing."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from options.resolve import Options, Source
from util.errors import UserError
from util.files import write_text

FILE = "options.json"


def save_options(options: Options, folder: pathlib.Path, phase: str) -> None:
    """Write ``options.json`` (exact, with the source and scope of each value) and ``<phase>_opt.txt`` (to read)."""
    entries = {
        name: {"value": value, "source": options.sources[name], "scope": options.flags[name].info.scope}
        for name, value in options.values.items()
    }
    if phase == "train":
        write_text(folder / FILE, json.dumps(entries, indent=1))
    write_text(folder / f"{phase}_opt.txt", format_options(options))


def format_options(options: Options, everything: bool = True) -> str:
    """Return one line per flag: name, value, and where it came from when it is not the default.

    ``everything`` false leaves the defaults out.
    """
    lines = ["----------------- Options ---------------"]
    for name, value in sorted(options.values.items()):
        default = options.flags[name].default
        if value == default and not everything:
            continue
        note = "" if value == default else f"\t[{options.sources[name]}; default: {default}]"
        shown = "auto" if options.flags[name].info.auto and value == 0 else value
        lines.append(f"{name:>25}: {shown!s:<30}{note}".rstrip())
    return "\n".join([*lines, "----------------- End -------------------", ""])


def load_options(folder: pathlib.Path) -> dict[str, dict[str, Any]] | None:
    """Return ``{flag: {value, source, scope}}`` of a run, or None where the folder has no options file."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        kept = {name: entry for name, entry in entries.items() if entry["scope"] in ("identity", "training")}
        return {name: {"value": entry["value"], **entry} for name, entry in kept.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(f"{path}: damaged options file; restore it or start a new run with --name") from None


def recorded(folder: pathlib.Path, flag: str) -> Any:
    """Return what a run was last trained with, whatever the scope; None where nothing says so."""
    path = folder / FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))[flag]["value"]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def saved_source(folder: pathlib.Path, saved: dict[str, dict[str, Any]]) -> Source:
    """Return the values that a saved run brings into a new command."""
    return Source(f"run {folder}", {name: entry["value"] for name, entry in saved.items()}, strict=False, restored=True)


def check_identity(
    saved: dict[str, dict[str, Any]], options: Options, folder: pathlib.Path, allowed: tuple[str, ...] = ()
) -> None:
    """UserError when a flag that makes the network what it is differs from the saved run's."""
    for name, entry in saved.items():
        if name not in options.flags or options.flags[name].info.scope != "identity" or name in allowed:
            continue
        now, then = options.values[name], entry["value"]
        if isinstance(now, tuple):
            now = list(now)
        if now != then:
            raise UserError(
                f"--{name} {now}: the run in {folder} was made with --{name} {then}; "
                "leave the flag out, or choose another --name"
            )
