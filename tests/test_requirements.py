"""Every package that is imported is listed in a requirements file, so that a fresh install runs."""

from __future__ import annotations

import ast
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("data", "evaluation", "inference", "models", "options", "commands", "training", "util")
LISTED_AS = {"PIL": "pillow", "cv2": "opencv-python-headless", "yaml": "pyyaml", "torch_pruning": "torch-pruning"}
OPTIONAL = {"wandb"}  # asked for by a flag, which says how to install it
WITH_ANOTHER = {"tornado": "visdom", "requests": "visdom", "starlette": "fastapi", "pydantic": "fastapi"}


def _imported() -> dict[str, pathlib.Path]:
    """Return the outermost module of every import, and a file that has it."""
    found: dict[str, pathlib.Path] = {}
    for path in [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0]: path for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found[node.module.partition(".")[0]] = path
    return found


def test_every_import_is_required() -> None:
    lines = [line for path in ROOT.glob("requirements*.txt") for line in path.read_text().splitlines()]
    listed = {re.split(r"[^\w.-]", line)[0].lower() for line in lines}
    own = {path.stem for path in ROOT.iterdir()}
    for name, path in _imported().items():
        if name not in sys.stdlib_module_names | own | OPTIONAL:
            package = WITH_ANOTHER.get(name) or LISTED_AS.get(name, name)
            assert package.lower() in listed, f"{path.relative_to(ROOT)} imports {name}: required nowhere"
