"""The reference page of all flags."""

from __future__ import annotations

import pathlib
import subprocess
import sys

from docs import make_flags
from options.base_options import REGISTRIES
from util.flags import flags_of

ROOT = pathlib.Path(make_flags.__file__).parent.parent


def test_committed_page_is_current() -> None:
    committed = make_flags.PAGE.read_text(encoding="utf-8")
    assert committed == make_flags.page(), "a flag has changed: run python -m docs.make_flags and commit docs/flags.md"


def test_page_has_every_flag_of_every_component() -> None:
    page = make_flags.page()
    names = {flag for registry in REGISTRIES for name in registry.names() for flag in flags_of(registry.options(name))}
    assert {"lambda_L1", "lambda_gp", "n_layers_D", "sem_domain"} <= names
    assert [name for name in sorted(names) if f"| `--{name}` |" not in page] == []


def test_rows_have_as_many_cells_as_their_table() -> None:
    cells = 0
    for line in make_flags.page().splitlines():
        if line.startswith("|---"):
            cells = line.count("|")
        elif line.startswith("| `"):
            assert line.replace("\\|", "").count("|") == cells, line


def test_page_needs_no_torch() -> None:
    code = "import sys; from docs import make_flags; make_flags.page(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
