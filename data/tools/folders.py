"""Output folders that are whole or not there, and never overwritten."""

from __future__ import annotations

import contextlib
import pathlib
import shutil

from util.errors import UserError


def check_free(out: pathlib.Path) -> None:
    """Remove an empty folder ``out``; UserError when something is in the way."""
    with contextlib.suppress(OSError):  # it holds something, or is a link, the working folder or none
        out.rmdir()
    if out.exists() or out.is_symlink():
        raise UserError(f"{out}: already there; name another folder with --out, or move this one away")


def partial_folder(out: pathlib.Path) -> pathlib.Path:
    """Return a new hidden folder beside ``out`` to build in; what an interrupted run left there is removed."""
    partial = out.parent / f".{out.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be made ({error.strerror})") from None
    return partial


def existing_folder(flag: str, path: str | pathlib.Path) -> pathlib.Path:
    """Return the folder that a flag names; UserError when there is none."""
    folder = pathlib.Path(path).expanduser()
    if not folder.is_dir():
        raise UserError(f"{flag} {folder}: no such folder")
    return folder
