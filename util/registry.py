"""Name -> component tables that import only the component asked for.

A registry reads the *source* of its package once to learn which file registers which name, so listing names and
reading a component's flags cost no import of torch, and a broken or optional file cannot hurt its neighbours.
A new component is one new file in the package; nothing else is edited.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import pathlib
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from util.errors import UserError, did_you_mean

Component = TypeVar("Component", bound=Callable[..., Any])
_ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """The options of a component that has none."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where a name is registered: the module, the decorated definition and its literal facts."""

    module: str
    path: pathlib.Path
    definition: str
    options: str | None
    preset: dict[str, Any]
    summary: str


class Registry:
    """Components of one kind, by the exact value of the flag that selects them.

    Args:
        symbol: the variable that holds this registry; decorators are found by it.
        kind: what one entry is, for messages ("generator").
        package: the package whose files register into it.
    """

    def __init__(self, symbol: str, kind: str, package: str) -> None:
        self.symbol, self.kind, self.package = symbol, kind, package
        self._plugins: list[pathlib.Path] = []

    def register(
        self, *names: str, options: type = NoOptions, preset: dict[str, Any] | None = None
    ) -> Callable[[Component], Component]:
        """Mark the decorated class or function as registered under ``names``; the first is the canonical one.

        The mark is read from the source and changes nothing when it runs. ``options`` must name a dataclass of the
        same file and ``preset`` must be a literal dictionary of flag defaults, which may begin with the ``**NAME`` of
        another one in the file: both are read before the module is ever imported.
        """

        return lambda component: component

    def names(self) -> list[str]:
        """Return every registered name, sorted."""
        return sorted(self._index())

    def canonical(self, name: str) -> str:
        """Return the first name of the component that ``name`` is an alias of."""
        entry = self.entry(name)
        return next(n for n, e in self._index().items() if e is entry)

    def entry(self, name: str) -> Entry:
        """Return what the source says of ``name``; UserError with the choices when there is none."""
        index = self._index()
        if name not in index:
            choices = ", ".join(sorted(index))
            raise UserError(f"unknown {self.kind} '{name}'{did_you_mean(name, index)} (choose from {choices})")
        return index[name]

    def get(self, name: str) -> Callable[..., Any]:
        """Import the module of ``name`` and return the registered class or function."""
        entry = self.entry(name)
        return getattr(_import(entry), entry.definition)

    def options(self, name: str) -> type:
        """Return the options dataclass of ``name`` without importing its module."""
        entry = self.entry(name)
        return _load_options(entry.path, entry.module, entry.options) if entry.options else NoOptions

    def use_plugins(self, paths: Iterable[pathlib.Path]) -> None:
        """Look for registrations in these source files too, anywhere on disk, and in no plugins named before."""
        self._plugins = list(dict.fromkeys(path.resolve() for path in paths))
        self.__dict__.pop("_cached_index", None)

    def _index(self) -> dict[str, Entry]:
        if "_cached_index" not in self.__dict__:
            folder = _ROOT.joinpath(*self.package.split("."))
            own = sorted(folder.resolve().glob("*.py"))
            index: dict[str, Entry] = {}
            for path in [*own, *(plugin for plugin in self._plugins if plugin not in own)]:
                module = f"{self.package}.{path.stem}" if path in own else _plugin_module(path)
                for names, entry in _registrations(path, module, self.symbol):
                    self._add(index, names, entry)
            self._cached_index = index
        return self._cached_index

    def _add(self, index: dict[str, Entry], names: list[str], entry: Entry) -> None:
        for name in names:
            other = index.setdefault(name, entry)
            if other is not entry:
                raise UserError(f"{entry.path}: the {self.kind} '{name}' is in {other.path} too; rename one of them")


def _plugin_module(path: pathlib.Path) -> str:
    """Return a module name that no other file has, whatever its stem."""
    return f"plugin_{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}_{path.stem}"


def _import(entry: Entry) -> types.ModuleType:
    if not entry.module.startswith("plugin_"):
        return importlib.import_module(entry.module)
    if entry.module not in sys.modules:
        spec = importlib.util.spec_from_file_location(entry.module, entry.path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[entry.module] = module
        spec.loader.exec_module(module)
    return sys.modules[entry.module]


@functools.cache
def _source(path: pathlib.Path) -> ast.Module | None:
    """Return the syntax tree of a file, or None, said in one line, where there is none to be had."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:  # ValueError: no UTF-8 text
        print(f"{path}: left out ({error})", file=sys.stderr)
        return None


@functools.cache
def _registrations(path: pathlib.Path, module: str, symbol: str) -> list[tuple[list[str], Entry]]:
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


def _load_options(path: pathlib.Path, module: str, name: str) -> type:
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
