"""Stop requests (Ctrl-C, SIGTERM) that wait for the step to end."""

from __future__ import annotations

import contextlib
import os
import signal
import types
from typing import Any

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
