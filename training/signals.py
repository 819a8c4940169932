"""Stop requests (Ctrl-C, SIGTERM) that wait for the step to end, and loading processes that end before."""

from __future__ import annotations

import contextlib
import os
import signal
import types
from collections.abc import Iterator
from typing import Any

from util.errors import UserError

_AGAIN = b"; Ctrl-C again leaves at once"


class StopRequest:
    """While entered, the first Ctrl-C or SIGTERM only sets :attr:`signal`; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """Return the code a shell expects of a process ended by the signal; 0 when there was none."""
        return 128 + self.signal if self.signal else 0

    def _handle(self, number: int, _frame: types.FrameType | None) -> None:
        if number == self.signal:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return
        self.signal = number
        with contextlib.suppress(OSError):  # not print, which a signal may have interrupted
            os.write(2, b"stopping after this step, saved" + (number == signal.SIGINT) * _AGAIN + b"\n")


@contextlib.contextmanager
def dead_workers_told() -> Iterator[None]:
    """Tell in one line of a loading process that was killed.

    torch would raise that from a signal handler, in the middle of a step or a save; without it the loader notices
    within 5 seconds, when the next batch is waited for.

    Raises:
        UserError: instead of torch's errors.
    """
    number = getattr(signal, "SIGCHLD", None)  # POSIX only
    before = signal.signal(number, signal.SIG_DFL) if number else None
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:  # the latter while a batch is handed over
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        raise UserError(
            "a process that loads images was killed, maybe for lack of memory: go on from the last save with "
            "--continue_train, and a smaller --num_threads if it happens again"
        ) from None
    finally:
        if before is not None and number:
            signal.signal(number, before)
