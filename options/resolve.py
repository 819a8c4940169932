"""Resolve flags: sources first, then model, preset, selectors and the chosen components' flags."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from options.arguments import check_known
from options.schema import Component
from util.errors import UserError
from util.flags import Flag, flags_of
from util.registry import Registry

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Source:
    """One origin of values, such as the command line or a saved run."""

    name: str
    values: dict[str, Any]
    strict: bool = True  # whether an unknown flag in it is an error
    restored: bool = False  # whether it is a run's, which may come from anybody: it sets no session flags


@dataclasses.dataclass(frozen=True)
class Options:
    """Every resolved value, where it came from, and the components that were chosen."""

    values: dict[str, Any]
    sources: dict[str, str]
    components: tuple[Component, ...]
    flags: dict[str, Flag]

    def of(self, options: type[T]) -> T:
        """Return one component's own frozen dataclass."""
        names = [field.name for field in dataclasses.fields(options)]  # type: ignore[arg-type]
        return options(**{name: self.values[name] for name in names})

    def chosen(self, selector: str) -> tuple[Callable[..., Any], Any] | None:
        """Import the component that a selector flag chose; return it with its options, None if nothing selects."""
        for component in self.components:
            if component.selector == selector and component.registry and component.name:
                return component.registry.get(component.name), self.of(component.options)
        return None

    def replace(self, source: str, **values: Any) -> Options:
        """Return a copy with some values changed, the change marked by its source."""
        sources = self.sources | dict.fromkeys(values, source)
        return dataclasses.replace(self, values=self.values | values, sources=sources)


def resolve(
    roots: Sequence[Component],
    sources: Sequence[Source],
    of_other_scripts: Callable[[], dict[str, str]] = dict,
) -> Options:
    """Resolve all flags; later sources win over earlier ones, all of them over presets and defaults.

    Args:
        of_other_scripts: returns ``{flag: script}`` of flags that the user may have meant for another script.

    Raises:
        UserError: a flag is unknown to the chosen components, or a value is impossible.
    """
    components, presets = _expand(roots, sources)
    flags = {name: flag for c in reversed(components) for name, flag in flags_of(c.options).items()}
    for source in sources:
        if source.strict:
            check_known(source.values, flags, source.name, lambda: of_other_scripts() | _elsewhere(flags))
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for layer in [*presets, *sources]:
        for name in layer.values.keys() & flags.keys():
            if layer.restored and flags[name].info.scope == "session":
                continue
            values[name], origin[name] = _value(flags[name], layer), layer.name
    ordered = {name: values.get(name, flag.default) for name, flag in flags.items()}
    return Options(ordered, {name: origin.get(name, "default") for name in flags}, tuple(components), flags)


def _value(flag: Flag, layer: Source) -> Any:
    raw = layer.values[flag.name]
    if raw is None and layer.name == COMMAND_LINE and flag.kind is bool:
        return True
    return raw if layer.name == PRESET else flag.convert(raw, layer.name)


COMMAND_LINE = "command line"
PRESET = "preset"


def _expand(roots: Sequence[Component], sources: Sequence[Source]) -> tuple[list[Component], list[Source]]:
    """Follow every selector flag to the component it names, breadth first.

    The preset of a component comes after those of the parts it chose, so that a method has the last word on its data.
    """
    components: list[Component] = list(roots)
    presets: list[Source] = []
    for component in components:  # grows while it is walked
        for flag in flags_of(component.options).values():
            registry = flag.info.registry
            if registry is None or any(c.selector == flag.name for c in components):
                continue
            name = _selected(flag, [*presets, *sources])
            entry = registry.entry(name)
            title = f"{registry.kind} '{name}'" + (f": {entry.summary}" if entry.summary else "")
            components.append(Component(title, registry.options(name), flag.name, registry, name))
            if entry.preset:
                presets.insert(0, Source(PRESET, entry.preset))
    return components, presets


def _selected(flag: Flag, layers: Sequence[Source]) -> str:
    values = [flag.convert(layer.values[flag.name], layer.name) for layer in layers if flag.name in layer.values]
    return values[-1] if values else flag.default


def _elsewhere(flags: dict[str, Flag]) -> dict[str, str]:
    """Return where flags of components that were not chosen belong, for the error message."""
    found: dict[str, str] = {}
    for selector, flag in flags.items():
        registry = flag.info.registry
        for name in _by_file(registry) if registry else ():
            for other in flags_of(registry.options(name)):  # type: ignore[union-attr]
                found.setdefault(other, f"--{selector} {name}")
    return found


def _by_file(registry: Registry) -> list[str]:
    """Return the names of components, those of one file together, so that presets do not come before what they vary."""
    return sorted(registry.names(), key=lambda name: str(registry.entry(name).path))


def use_plugins(paths: Sequence[str], registries: Sequence[Registry]) -> None:
    """Let every registry look into these files of the user's own, and no others; UserError when one is missing."""
    files = [pathlib.Path(path) for path in paths]
    for file in files:
        if not file.is_file():
            raise UserError(f"--plugin {file}: no such file")
    for registry in registries:
        registry.use_plugins(files)
