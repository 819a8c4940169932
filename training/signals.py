"""Stop requests (Ctrl-C, SIGTERM) that wait for the step to end."""

from __future__ import annotations

import signal
import types
from typing import Any


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
        if self.signal == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
