"""The rules of the house that a program can check: who imports whom, short scripts, fast help, documented names."""

from __future__ import annotations

import ast
import functools
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
RANKS = {
    **{"util": 0, "data": 1, "models.networks": 1, "models.losses": 1, "models": 2, "evaluation": 3, "inference": 3},
    **{"training": 4, "options": 5, "commands": 6},
}
PACKAGES = sorted({name.partition(".")[0] for name in RANKS})
SCRIPT_RANK, SCRIPT_LINES, FILE_LINES = 7, 60, 300
HELP_SECONDS = 1.6
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
LIBRARIES = {"a2b.py"}  # used by import, not run

every_file = pytest.mark.parametrize("path", [*FILES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))


@functools.cache
def parse(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def rank(module: str) -> int | None:
    """Return the place of a module in the house; None for modules from elsewhere."""
    for length in (2, 1):
        name = ".".join(module.split(".")[:length])
        if name in RANKS:
            return RANKS[name]
    return SCRIPT_RANK if (ROOT / f"{module.partition('.')[0]}.py").is_file() else None


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every module that a tree imports anywhere, ``from models import networks`` as models.networks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            assert node.module
            yield node.module
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in inner if name in RANKS)


@every_file
def test_imports_go_only_to_the_left(path: pathlib.Path) -> None:
    own = rank(module_name(path))
    assert own is not None
    wrong = [name for name in imported(parse(path)) if (other := rank(name)) is not None and other > own]
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}, which stand to its right"


def test_a_wrong_import_would_be_seen() -> None:
    assert rank("util.files") < rank("data.loader") == rank("models.networks.unet") < rank("models.base")
    assert rank("models") < rank("inference.predictor") < rank("training.trainer") < rank("options.resolve")
    assert rank("options.resolve") < rank("commands.build") < rank("train")
    assert rank("torch.nn") is None
    assert set(imported(ast.parse("from models import networks\nimport options.help"))) == {
        *("models", "models.networks", "options.help")
    }


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_short(path: pathlib.Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= SCRIPT_LINES or (path.name in LIBRARIES and lines <= 2 * SCRIPT_LINES)


@every_file
def test_files_stay_readable_in_one_go(path: pathlib.Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= FILE_LINES


def test_importing_the_packages_imports_no_torch() -> None:
    names = [module_name(path) for path in FILES if path.name == "__init__.py"]
    code = f"import {', '.join(names)}, sys; print(sorted({{'torch', 'numpy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "words",
    [
        *(["train.py", "--help"], ["train.py", "--help", "--model", "pix2pix", "--gan_mode", "wgangp"]),
        *(["test.py", "--help"], ["serve.py", "--help"], ["export.py", "--help"]),
        ["train.py", "--batch_sise", "4"],
    ],
    ids=" ".join,
)
def test_help_and_mistakes_import_no_torch(words: list[str]) -> None:
    assert not {"torch", "numpy", "PIL", "cv2"} & _imported(words)


def test_help_of_tools_imports_no_torch() -> None:
    assert not {"torch", "PIL", "cv2"} & _imported(["prepare.py", "cache", "--help"])


def _imported(words: list[str]) -> set[str]:
    """Return the modules that a command has imported when it ends."""
    code = (
        "import json, runpy, sys\n"
        f"sys.argv = {words!r}\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def _seconds() -> float:
    """Return the processor time of all ended child processes, which other programs on the machine hardly change."""
    times = os.times()
    return times.children_user + times.children_system if os.name == "posix" else time.perf_counter()


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(3):
        began = _seconds()
        done = subprocess.run([sys.executable, "train.py", "--help"], cwd=ROOT, capture_output=True, text=True)
        seconds.append(_seconds() - began)
        assert done.returncode == 0
        assert "--dataroot" in done.stdout
    assert statistics.median(seconds) < HELP_SECONDS


def public(body: list[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


def undocumented(tree: ast.Module) -> list[str]:
    """Return public classes and functions without a docstring.

    Option groups say it in the help of their fields, and a method of a class with bases may take its base's words.
    """
    missing = []
    for node in public(tree.body):
        if not ast.get_docstring(node) and not node.name.endswith("Options"):
            missing.append(node.name)
        if isinstance(node, ast.ClassDef) and not node.bases and node.name not in _registered(tree):
            missing += [f"{node.name}.{m.name}" for m in public(node.body) if not ast.get_docstring(m)]
    return missing


def _registered(tree: ast.Module) -> set[str]:
    """Return the components: their methods are described where the registry's contract is."""
    return {n.name for n in public(tree.body) if any("register" in ast.unparse(d) for d in n.decorator_list)}


def unannotated(tree: ast.Module) -> list[str]:
    """Return public functions and methods with a parameter or result of unknown type."""
    missing = []
    for owner, node in _functions(tree):
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        first = 1 if owner and "staticmethod" not in map(ast.unparse, node.decorator_list) else 0
        if node.returns is None or any(a is not None and a.annotation is None for a in given[first:]):
            missing.append(f"{owner}{node.name}")
    return missing


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in public(tree.body):
        if not isinstance(node, ast.ClassDef):
            yield "", node
        else:
            made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
            inner = itertools.chain(made, public(node.body))
            yield from ((f"{node.name}.", n) for n in inner if not isinstance(n, ast.ClassDef))


@every_file
def test_public_names_are_documented(path: pathlib.Path) -> None:
    tree = parse(path)
    assert not undocumented(tree)
    assert path.name == "__init__.py" or ast.get_docstring(tree), "the file itself says what it is for"


@every_file
def test_public_signatures_are_annotated(path: pathlib.Path) -> None:
    assert not unannotated(parse(path))


def test_the_checks_see_what_is_missing() -> None:
    tree = ast.parse("def f(x): pass\nclass C:\n    '''Doc.'''\n    def m(self) -> None: pass")
    assert undocumented(tree) == ["f", "C.m"]
    assert unannotated(tree) == ["f"]
