"""Every command, link and snippet of the README and the docs is one that works."""

from __future__ import annotations

import importlib
import pathlib
import re
import shlex
import sys
from typing import Any

import pytest
import torch

import a2b
import compare
import prepare
from evaluation.leaderboard import Entry
from evaluation.table import METRICS
from models.files import save_networks
from options.base_options import BaseOptions
from options.export_options import ExportOptions
from options.saved import save_options
from options.serve_options import ServeOptions
from options.test_options import TestOptions
from options.train_options import TrainOptions
from tests.docs.pages import PAGES, ROOT, code_blocks

_COMMAND = re.compile(r"(?:python (?:train|test|prepare|compare|serve|export)\.py|make) .*")
_OPTIONS: dict[str, type[BaseOptions]] = {
    **{"train.py": TrainOptions, "test.py": TestOptions},
    **{"serve.py": ServeOptions, "export.py": ExportOptions},
}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def commands(page: pathlib.Path) -> list[list[str]]:
    """Return the words of the commands in fenced blocks and in `inline code`, in the order of the page."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = re.sub(r"^```python\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip() for line in fenced.splitlines()] + re.findall(r"`([^`\n]+)`", fenced)
    return [shlex.split(line, comments=True) for line in lines if _COMMAND.fullmatch(line)]


def test_pages_hold_commands() -> None:
    counts = {page.name: len(commands(page)) for page in PAGES}
    assert counts["README.md"] >= 10 and counts["tutorial.md"] >= 5 and counts["extending.md"] >= 6


@each_page
def test_commands_parse(
    page: pathlib.Path, tmp_path: pathlib.Path, plugins: dict[str, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for words in commands(page):
        if words[0] == "make":
            check_make(words[1:])
        elif words[1] == "prepare.py":
            check_prepare(words[2:], monkeypatch)
        elif words[1] == "compare.py":
            check_compare(words[2:], monkeypatch)
        else:
            check_options(words[1], [str(plugins.get(word, word)) for word in words[2:]], tmp_path)


def check_make(words: list[str]) -> None:
    """Every target and every variable is one of the Makefile's."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in words:
        name, equals, _ = word.partition("=")
        pattern = rf"^{name} \?=" if equals else rf"^{name}:"
        assert re.search(pattern, makefile, re.MULTILINE), f"make {word}"


def check_prepare(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The real parser takes the command; nothing is run."""
    tool = importlib.import_module(f"data.tools.{words[0]}")
    parsed: list[Any] = []
    monkeypatch.setattr(tool, "run", parsed.append)
    monkeypatch.setattr(sys, "argv", ["prepare.py", *words])
    prepare.main()
    assert parsed[0].command == words[0]


def check_compare(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The real parser takes the command; no folder is read."""
    read: list[Any] = []
    monkeypatch.setattr("commands.comparing.read_tests", read.extend)
    monkeypatch.setattr("commands.comparing.over_shared", lambda tests: tests)
    monkeypatch.setattr("commands.comparing.write_comparison", lambda *args: None)
    monkeypatch.setattr("commands.comparing.format_comparison", lambda tests: "")
    entries = [Entry("run", "test_latest", dict.fromkeys(METRICS, 1.0))]
    monkeypatch.setattr("commands.leaderboard.find_entries", lambda *folders: entries)
    monkeypatch.setattr("commands.leaderboard.write_leaderboard", lambda *args: None)
    monkeypatch.setattr("commands.costs.measure_costs", lambda *args: [])
    monkeypatch.setattr("commands.costs.format_costs", lambda *args: "")
    monkeypatch.setattr(sys, "argv", ["compare.py", *words])
    compare.main()
    assert len(read) >= 2 or {"--leaderboard", "--cost"} & set(words)


def check_options(script: str, words: list[str], checkpoints: pathlib.Path) -> None:
    """The real parser takes the command, given the run that the commands before it on the page made.

    A run that the page only tests is one made elsewhere: weights without options.
    """
    words = [*words, "--checkpoints_dir", str(checkpoints)]
    if "--help" in words:
        with pytest.raises(SystemExit):
            _OPTIONS[script]().parse(words)
        return
    if "--weights" in words:
        path = checkpoints / words[words.index("--weights") + 1]
        torch.save(a2b.build_generator("compact", ngf=4, n_convs=1, scale=4).state_dict(), path)
        _OPTIONS[script]().parse([str(path) if word == path.name else word for word in words])
        return
    folder = checkpoints / words[words.index("--name") + 1]
    if script == "train.py":
        folder.mkdir(exist_ok=True)
        save_options(TrainOptions().parse(words), folder, "train")
        return
    classifier = words[words.index("--classifier_run") + 1 :][:1] if "--classifier_run" in words else []
    for name in [*folder.name.split(","), *classifier]:
        if not (checkpoints / name).exists():
            (checkpoints / name).mkdir()
            save_networks({"G": a2b.build_generator("resnet_6blocks", ngf=4)}, checkpoints / name, "latest")
    _OPTIONS[script]().parse(words)


@each_page
def test_relative_links_exist(page: pathlib.Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    assert [target for target in local if not (page.parent / target).exists()] == []


@each_page
def test_named_source_files_exist(page: pathlib.Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:data|docs|evaluation|inference|models|options|recipes|training|util)/[\w/]+\.\w+)`", text)
    own = ("models/my_model.py", "data/x.py")
    assert [name for name in named if name not in own and not (ROOT / name).exists()] == []


@each_page
def test_python_snippets_compile(page: pathlib.Path) -> None:
    for block in code_blocks(page, "python"):
        compile(block, page.name, "exec")
