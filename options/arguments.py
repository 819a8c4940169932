"""Command line words and YAML files -> raw values by flag name."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from options.spellings import ALWAYS_ACCEPTED, modernise
from util.errors import UserError, did_you_mean


def scan(argv: Sequence[str]) -> dict[str, str | None]:
    """Return ``{flag: value}`` of a command line; a flag without a value maps to None, the last mention wins.

    A word belongs to the flag before it unless it starts with two dashes, so ``--gpu_ids -1`` needs no quoting.
    """
    raw: dict[str, str | None] = {}
    name: str | None = None
    for word in argv:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            raw[name] = value if equals else None
        elif name is None:
            raise UserError(f"unexpected '{word}': flags are written --name value; see --help")
        elif raw[name] is not None:
            raise UserError(f"unexpected '{word}' after --{name} {raw[name]}: one value per flag")
        else:
            raw[name] = word
    return _modern(raw)


def _modern(raw: Mapping[str, Any]) -> dict[str, Any]:
    modern: dict[str, Any] = {}
    for old, old_value in raw.items():
        name, value, note = modernise(old, old_value)
        if name in modern and modern[name] != value:
            raise UserError(f"--{name} is given twice, as {modern[name]} and as {value}; give it once")
        modern[name] = value
        if note:
            print(note, file=sys.stderr)
    return modern


def read_config(path: str) -> dict[str, Any]:
    """Return the flags of a YAML file, one ``name: value`` a line; UserError when it is not that."""
    import yaml

    try:
        content = yaml.load(pathlib.Path(path).read_text(encoding="utf-8"), _loader())
    except OSError as error:
        raise UserError(f"--config {path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or a date of month 13
        reason = str(error).replace("\n", " ")
        raise UserError(f"--config {path}: not valid YAML ({reason})") from None
    if content is not None and not isinstance(content, dict):
        raise UserError(f"--config {path}: write one 'flag: value' per line, without dashes")
    for name, value in (content or {}).items():
        _check_flat(path, name, value)
    return _modern({str(name): value for name, value in (content or {}).items()})


def _loader() -> Any:
    """Return YAML's safe loader, for which ``off`` and ``no`` are words as on the command line, not false."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if first in "tTfF" or not tag.endswith(":bool")]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return Loader


def _check_flat(path: str, name: Any, value: Any) -> None:
    """Refuse lists in lists: no flag takes them, and a few lines of YAML can stand for billions of them."""
    inner = value if isinstance(value, list) else [value]
    if any(isinstance(part, list | dict | set) for part in [name, *inner]):
        raise UserError(f"--config {path}: {str(name)[:40]} holds more than values; write one 'flag: value' per line")


def check_known(
    raw: dict[str, Any], known: dict[str, Any], source: str, elsewhere: Callable[[], dict[str, str]]
) -> None:
    """UserError for the first name in ``raw`` that is no flag, with the nearest one or where it would belong.

    Flags that established commands carry for any model are let through with a note.
    """
    for name in raw:
        if name in known:
            continue
        if name in ALWAYS_ACCEPTED:
            print(f"note: --{name} has no effect here: the chosen model has no such part", file=sys.stderr)
            continue
        owner = elsewhere().get(name)
        if owner:
            raise UserError(f"{source}: --{name} belongs to {owner}, not to this command; leave it out")
        hint = did_you_mean(f"--{name}", [f"--{flag}" for flag in known]) or "; --help lists the flags"
        raise UserError(f"{source}: unknown flag --{name}{hint}")
