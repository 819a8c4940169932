"""``--fold all``: one run after the other, each with another part of the images held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from options.arguments import read_config, scan
from training.run_folder import run_folder
from util.errors import UserError


def each_fold(words: Sequence[str]) -> list[list[str]]:
    """Return the command line of each run that a command line asks for: itself, or with ``--fold all`` one a fold.

    Runs are called NAME_fold1, NAME_fold2 and so on. With ``--continue_train`` those that are there go on, and the
    others begin.

    Raises:
        UserError: ``--fold all`` without a number of folds.
    """
    given: dict[str, Any] = scan([word for word in words if word not in ("-h", "--help")])
    if given.get("config"):
        given = read_config(given["config"]) | given
    if given.get("fold") != "all":
        return [list(words)]
    count = str(given.get("folds"))
    if not count.isdecimal() or int(count) < 2:
        raise UserError("--fold all: give the number of folds too, such as --folds 5")
    return [[*words, *_own(given, str(number))] for number in range(1, int(count) + 1)]


def _own(given: dict[str, Any], fold: str) -> list[str]:
    """Return what one fold's command line says in place of what is given for all."""
    name = f"{given.get('name', 'experiment_name')}_fold{fold}"
    begun = run_folder(given.get("checkpoints_dir", "./checkpoints"), name).is_dir()
    return ["--fold", fold, "--name", name, *([] if begun else ["--continue_train", "false"])]
