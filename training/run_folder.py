"""The folder of a run: made fresh, or found for going on."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator

import filelock

from util.errors import UserError


def run_folder(checkpoints_dir: str, name: str) -> pathlib.Path:
    """Return the folder of a run; UserError when the name would leave ``checkpoints_dir``."""
    if not name or name in (".", "..") or pathlib.PurePath(name).name != name or "\\" in name:
        raise UserError(f"--name '{name}': use a plain folder name, without slashes")
    return pathlib.Path(checkpoints_dir) / name


@contextlib.contextmanager
def only_trainer(folder: pathlib.Path) -> Iterator[None]:
    """Hold a run's name while training; the operating system lets go of it however the process ends.

    Raises:
        UserError: another process trains under this name.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise UserError(
            f"{folder}: another process is training this run; wait for it or choose another --name"
        ) from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); see --checkpoints_dir and --name") from None
    try:
        yield
    finally:
        lock.release()


def fresh_folder(folder: pathlib.Path) -> None:
    """Make an empty run folder; one that is in use already is moved aside, and said so."""
    try:
        if folder.is_dir() and any(folder.iterdir()):
            aside = next(p for n in range(1, 10**6) if not (p := folder.with_name(f"{folder.name}.old{n}")).exists())
            folder.rename(aside)
            print(f"{folder} was in use: moved to {aside}; --continue_train goes on with a run", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); see --checkpoints_dir and --name") from None


def restarted_by_torchrun(folder: pathlib.Path) -> bool:
    """Return whether torchrun repeats this command after one of its processes has died, with a run to go on with."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0 and (folder / "options.json").is_file()
