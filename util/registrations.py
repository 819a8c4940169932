"""What the source of a file says of the components in it, and their options, without importing it."""

from __future__ import annotations

import ast
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a name is registered: the module, the decorated definition and its literal facts."""

    module: str
    path: pathlib.Path
    definition: str
    options: str | None
    preset: dict[str, Any]
    summary: str


@functools.cache
def _source(path: pathlib.Path) -> ast.Module | None:
    """Return the syntax tree of a file, or None, said in one line, where there is none to be had."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:  # ValueError: no UTF-8 text
        print(f"{path}: left out ({error})", file=sys.stderr)
        return None


@functools.cache
def registrations(path: pathlib.Path, module: str, symbol: str) -> list[tuple[list[str], Entry]]:
    """Return the names and facts that a file registers; none, said in one line, where they are not literals."""
    try:
        return _read_registrations(path, module, symbol)
    except ValueError:
        print(f"{path}: left out (names and preset of {symbol}.register must be literals)", file=sys.stderr)
        return []


def _read_registrations(path: pathlib.Path, module: str, symbol: str) -> list[tuple[list[str], Entry]]:
    found = []
    for node in getattr(_source(path), "body", []):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and ast.unparse(call.func) == f"{symbol}.register":
                keywords = {k.arg: k.value for k in call.keywords}
                options = ast.unparse(keywords["options"]) if "options" in keywords else None
                preset = _read_preset(keywords["preset"], path) if "preset" in keywords else {}
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                names = [ast.literal_eval(argument) for argument in call.args]
                found.append((names, Entry(module, path, node.name, options, preset, summary)))
    return found


def _read_preset(node: ast.expr, path: pathlib.Path) -> dict[str, Any]:
    """Return a literal dictionary, with those in it that have a name in the file; ValueError for anything else."""
    if not isinstance(node, ast.Dict):
        raise ValueError("no dictionary")
    preset: dict[str, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        entry = {ast.literal_eval(key): ast.literal_eval(value)} if key else ast.literal_eval(_constant(value, path))
        preset |= entry
    return preset


def _constant(name: ast.expr, path: pathlib.Path) -> ast.expr:
    """Return what a file assigns to a name at its top; the name itself, which is no literal, where nothing is."""
    for node in getattr(_source(path), "body", []):
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [ast.unparse(name)]:
            return node.value
    return name


def load_options(path: pathlib.Path, module: str, name: str) -> type:
    """Return the dataclass ``name`` of a file, running only what it uses: imports, constants and other classes.

    A module that is already imported gives its own class, so that ``isinstance`` holds.

    Raises:
        UserError: the dataclass uses a name that is none of these, or is not in the file.
    """
    if module in sys.modules and hasattr(sys.modules[module], name):
        return getattr(sys.modules[module], name)
    return _evaluate_options(path, module, name)


@functools.cache
def _evaluate_options(path: pathlib.Path, module: str, name: str) -> type:
    tree = _source(path)
    assert tree is not None
    definitions = [node for node in tree.body if _defined(node)]
    used = _reachable(name, definitions)
    body = [kept for node in tree.body if (kept := _only(node, used)) is not None]
    namespace: dict[str, Any] = {"__name__": module}
    code = compile(ast.Module(body, []), str(path), "exec", dont_inherit=True)  # types, not strings: there is no module
    try:
        exec(code, namespace)  # noqa: S102 - the project's own source
        return namespace[name]
    except (NameError, KeyError) as error:
        raise UserError(
            f"{path}: {name} cannot be read without importing the file ({error}); its dataclass may use imports, "
            "constants and classes of the file, but no functions"
        ) from None


def _defined(node: ast.stmt) -> set[str]:
    """Return the names that a top-level class or assignment defines; none for anything else."""
    if isinstance(node, ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.AnnAssign):
        return _names(node.target)
    return {name for target in node.targets for name in _names(target)} if isinstance(node, ast.Assign) else set()


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _reachable(name: str, definitions: Sequence[ast.stmt]) -> set[str]:
    """Return ``name`` and all names that it uses, directly or through definitions of the same file."""
    found, waiting = set(), {name}
    while waiting:
        found |= waiting
        waiting = {used for node in definitions if _defined(node) & waiting for used in _names(node)} - found
    return found


def _only(node: ast.stmt, used: set[str]) -> ast.stmt | None:
    """Return what of a top-level statement gives the names that are used, or None."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return node if _defined(node) & used else None
    names = [a for a in node.names if (a.asname or a.name).partition(".")[0] in used]
    if not names or _is_future(node):
        return None
    if isinstance(node, ast.ImportFrom):
        return ast.ImportFrom(node.module, names, node.level, lineno=node.lineno, col_offset=0)
    return ast.Import(names, lineno=node.lineno, col_offset=0)


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
