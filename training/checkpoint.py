"""The state file of a run: the one truth for resuming, replaced only by a verified successor."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import sys
from typing import Any

import torch

from util.errors import UserError, one_line, pass_interrupts_on
from util.files import atomic_file, remove_leftovers, sync_folder
from util.torch_files import load_torch_file, verify_torch_file

FILE, PREVIOUS, NEW, DAMAGED = "state.pth", "state_previous.pth", "state.new", "state_damaged.pth"
FORMAT = 1
_OF_BAD_BYTES = (None, errno.EINVAL)  # errors of the system that come of wrong offsets in a file


def save_state(folder: pathlib.Path, state: dict[str, Any]) -> None:
    """Write the state file; the one before stays as ``state_previous.pth``.

    The order is: write a new file beside, wait for the disk, read it back, and only then rename the two.

    Raises:
        UserError: the disk is full or the folder is gone; what was saved before is untouched.
    """
    path = folder / FILE
    if not folder.is_dir():
        raise UserError(f"{folder}: the run's folder has vanished; bring it back and use --continue_train")
    try:
        with atomic_file(folder / NEW, make_folder=False) as file:
            torch.save(state | {"format": FORMAT, "arithmetic": _arithmetic()}, file)
        verify_torch_file(folder / NEW)
        if path.exists():
            os.replace(path, folder / PREVIOUS)
        os.replace(folder / NEW, path)
        sync_folder(folder)
    except Exception as error:  # torch's writer raises RuntimeError, the verification anything
        with contextlib.suppress(OSError):
            (folder / NEW).unlink(missing_ok=True)
        pass_interrupts_on(error)
        raise UserError(f"{path}: cannot be saved ({one_line(error)}); the save before it is intact") from None


def load_state(folder: pathlib.Path) -> dict[str, Any]:
    """Read the newest readable state of a run; an unreadable one is named and the one before it taken.

    Raises:
        UserError: there is none, or the disk or the memory does not let it be read now, which says nothing of the file.
    """
    for path in (folder / FILE, folder / PREVIOUS):
        if not path.is_file():
            continue
        try:
            state = load_torch_file(path)
            if state["format"] == FORMAT:
                _compare(state.get("arithmetic", {}))
                return state
            print(f"{path}: written by another version of the program; skipped", file=sys.stderr)
        except Exception as error:  # damaged or hostile bytes make the reader raise anything
            if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno not in _OF_BAD_BYTES):
                raise UserError(f"{path}: cannot be read now ({one_line(error)}); try again") from None
            print(f"{path}: damaged ({one_line(error)}); trying the save before it", file=sys.stderr)
            with contextlib.suppress(OSError):  # lest the next save makes it the one to fall back to
                os.replace(path, path.with_name(DAMAGED))
    raise UserError(f"{folder}: nothing to continue (no readable {FILE}); leave out --continue_train to start anew")


def _arithmetic() -> dict[str, str]:
    """Return what the last bits of a result depend on, beside the device."""
    return {"torch": str(torch.__version__), "threads": str(torch.get_num_threads())}


def _compare(before: dict[str, str]) -> None:
    """Say when going on cannot give the same last bits as never having stopped."""
    changed = [
        f"{name} {before[name]}, now {now}" for name, now in _arithmetic().items() if before.get(name, now) != now
    ]
    if changed:
        print(f"note: saved with {'; '.join(changed)}: results will differ in the last digits", file=sys.stderr)


def remove_unfinished(folder: pathlib.Path) -> None:
    """Delete what a killed process left half written, which may be as large as all saves together."""
    remove_leftovers(folder)
    with contextlib.suppress(OSError):
        (folder / NEW).unlink(missing_ok=True)
