"""The one exception that means: the user can fix this."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator


class UserError(Exception):
    """A mistake in what the user gave: a flag, a file, a folder.

    The message is one line that names the file or flag, the value found, and the fix. Scripts print it
    without a traceback and leave with exit code 2. Programming errors must never be wrapped in it.
    """


class BadFile(UserError):
    """A file that cannot be read as what it should be; ``--on_bad_file skip`` passes it over."""


class UnfinishedStep(UserError):
    """A mistake found in the middle of an update step: some networks have been updated and others not.

    The training must not be saved then, but go on from the save before.
    """


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return ``"; did you mean x?"`` for the choice nearest to ``name``, or an empty string."""
    nearest = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def one_line(error: BaseException, length: int = 120) -> str:
    """Return what an error says on one line of at most ``length`` characters; its type where it says nothing.

    What the operating system says comes first: torch's writer covers a full disk with words of its own.
    """
    system = next((e.strerror for e in _and_before(error) if isinstance(e, OSError) and e.strerror), None)
    return system or " ".join(str(error).split())[:length] or type(error).__name__


def pass_interrupts_on(error: BaseException) -> None:
    """Raise KeyboardInterrupt if ``error`` came up on top of one, as torch's writer makes it."""
    if any(isinstance(before, KeyboardInterrupt) for before in _and_before(error)):
        raise KeyboardInterrupt from None


def _and_before(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came up on top of."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__context__


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
