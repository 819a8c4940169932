"""The state file of a run: the one truth for resuming, replaced only by a verified successor."""

from __future__ import annotations

import os
import pathlib
import pickle
import sys
import zipfile
from typing import Any

import torch

from util.errors import UserError
from util.files import atomic_file

FILE, PREVIOUS = "state.pth", "state_previous.pth"
FORMAT = 1


def save_state(folder: pathlib.Path, state: dict[str, Any]) -> None:
    """Write the state file; the one before stays as ``state_previous.pth``.

    Raises:
        UserError: the disk is full or the folder is gone; what was saved before is untouched.
    """
    path = folder / FILE
    if not folder.is_dir():
        raise UserError(f"{folder}: the run's folder has vanished; bring it back and use --continue_train")
    try:
        with atomic_file(path.with_suffix(".new")) as file:
            torch.save(state | {"format": FORMAT}, file)
        _verify(path.with_suffix(".new"))
        if path.exists():
            os.replace(path, folder / PREVIOUS)
        os.replace(path.with_suffix(".new"), path)
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        path.with_suffix(".new").unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be saved ({error}); the save before it is intact") from None


def load_state(folder: pathlib.Path) -> dict[str, Any]:
    """Read the newest readable state of a run; an unreadable one is named and the one before it taken.

    Raises:
        UserError: there is none.
    """
    for name in (FILE, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            _verify(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
            if state.get("format") == FORMAT:
                return state
            print(f"{path}: written by another version of the program; skipped", file=sys.stderr)
        except (OSError, RuntimeError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError, AttributeError):
            print(f"{path}: damaged; trying the save before it", file=sys.stderr)
    raise UserError(f"{folder}: nothing to continue (no readable {FILE}); leave out --continue_train to start anew")


def _verify(path: pathlib.Path) -> None:
    """Check every byte against the checksums of the archive, which torch.load does not do."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise RuntimeError(f"{broken} in {path} is damaged")
