"""Name -> component tables that import only the component asked for.

A registry reads the *source* of its package once to learn which file registers which name, so listing names and
reading a component's flags cost no import of torch, and a broken or optional file cannot hurt its neighbours.
A new component is one new file in the package; nothing else is edited.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import pathlib
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from util.errors import UserError, did_you_mean
from util.registrations import Entry, load_options, registrations

Component = TypeVar("Component", bound=Callable[..., Any])
_ROOT = pathlib.Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """The options of a component that has none."""


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
        return load_options(entry.path, entry.module, entry.options) if entry.options else NoOptions

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
                for names, entry in registrations(path, module, self.symbol):
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
