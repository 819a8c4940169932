"""Commands of the project one after the other: what is done is not done again, an interrupted training goes on."""

from __future__ import annotations

import hashlib
import pathlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from util.errors import UserError
from util.files import write_text

ROOT = pathlib.Path(__file__).resolve().parent.parent
Words = list[str]


def call(words: Words) -> None:
    """Run one command of the project; UserError when it fails."""
    code = subprocess.run([sys.executable, str(ROOT / words[0]), *words[1:]]).returncode
    if code:
        raise UserError(f"python {shlex.join(words)}: ended with code {code}; the same command goes on from here")


@dataclass(frozen=True)
class Stage:
    """One command.

    Args:
        name: of the stage; that of the run, for a training.
        made: folder that ``prepare.py`` makes, removed before it is made anew.
        depth: folder of depth maps that come of it, to be measured.
        title: of its row in the table.
    """

    name: str
    words: Words
    made: pathlib.Path | None = None
    depth: pathlib.Path | None = None
    title: str = ""


def follow(
    stages: Iterable[Stage],
    notes: pathlib.Path,
    runs: pathlib.Path,
    after: Callable[[Stage], None],
    call: Callable[[Words], None] = call,
) -> None:
    """Do what is not done.

    A stage is done when it was, by the same command, after the same stages.

    Args:
        stages: in order; each may look at what those before it have made.
        notes: folder of the notes on what is done.
        runs: ``--checkpoints_dir`` of the trainings.
        after: called with each stage that is done.
        call: runs a command.
    """
    digest = ""
    for stage in stages:
        line = shlex.join(stage.words)
        digest = hashlib.blake2b(f"{digest} {line}".encode(), digest_size=8).hexdigest()
        begun, done = (notes / f"{stage.name}.{kind}" for kind in ("begun", "done"))
        if not _says(done, digest):
            print(f"--- {stage.name}: python {line}", flush=True)
            words = _words(stage, runs, begun=_says(begun, digest))
            write_text(begun, digest)
            call(words)
            write_text(done, digest)
        after(stage)


def _words(stage: Stage, runs: pathlib.Path, *, begun: bool) -> Words:
    """Return the command of a stage, which goes on with a training that has begun; remove what it makes anew."""
    if stage.made is not None:
        shutil.rmtree(stage.made, ignore_errors=True)
    saved = begun and any((runs / stage.name).glob("state*.pth"))
    return [*stage.words, "--continue_train"] if stage.words[0] == "train.py" and saved else stage.words


def _says(note: pathlib.Path, text: str) -> bool:
    return note.is_file() and note.read_text(encoding="utf-8") == text
