"""The examples of docs/extending.md as files."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import pytest

from options.base_options import REGISTRIES
from tests.docs.pages import EXTENDING, code_blocks


@pytest.fixture()
def plugins(tmp_path: pathlib.Path) -> Iterator[dict[str, pathlib.Path]]:
    """Write the examples below ``tmp_path``; forget afterwards what they have registered."""
    files = {}
    for block in code_blocks(EXTENDING, "python"):
        name = block.partition("\n")[0].removeprefix("# ")
        files[name] = tmp_path / name
        files[name].write_text(block, encoding="utf-8")
    before = [list(registry._plugins) for registry in REGISTRIES]
    yield files
    for registry, known in zip(REGISTRIES, before, strict=True):
        registry._plugins[:] = known
        registry.__dict__.pop("_cached_index", None)
    for path in files.values():
        for name in [n for n in sys.modules if n.startswith("plugin_") and n.endswith(f"_{path.stem}")]:
            del sys.modules[name]
