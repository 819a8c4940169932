"""The one exception that means: the user can fix this."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable


class UserError(Exception):
    """A mistake in what the user gave: a flag, a file, a folder.

    The message is one line that names the file or flag, the value found, and the fix. Scripts print it
    without a traceback and leave with exit code 2. Programming errors must never be wrapped in it.
    """


class UnfinishedStep(UserError):
    """A mistake found in the middle of an update step: some networks have been updated and others not.

    The training must not be saved then, but go on from the save before.
    """


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return ``"; did you mean x?"`` for the choice nearest to ``name``, or an empty string."""
    nearest = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def one_line(error: BaseException, length: int = 120) -> str:
    """Return what an error says on one line of at most ``length`` characters; its type where it says nothing."""
    return " ".join(str(error).split())[:length] or type(error).__name__


def pass_interrupts_on(error: BaseException) -> None:
    """Raise KeyboardInterrupt if ``error`` came up on top of one, as torch's writer makes it."""
    before = error.__context__
    while before is not None and not isinstance(before, KeyboardInterrupt):
        before = before.__context__
    if before is not None:
        raise KeyboardInterrupt from None


def run_script(main: Callable[[], int | None]) -> None:
    """Run a script's ``main`` and exit: 0 or its return value, 2 on :class:`UserError`, 130 on Ctrl-C."""
    try:
        code = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        code = 1
    sys.exit(code or 0)
