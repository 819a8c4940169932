"""The terminal: a progress bar over the whole training, or plain lines where there is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections import deque

from tqdm import tqdm

from training.loggers.base import Position, RunInfo, SilentLogger, Times
from training.loggers.text import duration, loss_line

_WINDOW = 20


class Console(SilentLogger):
    """Print the established line at ``--print_freq`` and keep a bar with loss means, images/s and time left below.

    Args:
        bar: show the bar; by default only when stderr is a terminal, so logs hold no control characters.
    """

    def __init__(self, bar: bool | None = None) -> None:
        self._wants_bar = sys.stderr.isatty() if bar is None else bar
        self._bar: tqdm | None = None
        self._recent: dict[str, deque[float]] = {}

    def start(self, info: RunInfo) -> None:
        """Open the bar at the position resumed from."""
        self._info = info
        self._started = self._epoch_started = time.monotonic()
        if self._wants_bar:
            self._bar = tqdm(
                total=info.total_images,
                initial=info.start.total_iters,
                unit="img",
                dynamic_ncols=_knows_its_width(),
                smoothing=0.05,
                mininterval=0.5,
                file=sys.stderr,
            )

    def progress(self, position: Position) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_description(f"epoch {position.epoch}/{self._info.n_epochs}", refresh=False)
            self._bar.update(position.total_iters - self._bar.n)

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Print the line, and the running means into the bar."""
        line = loss_line(position, losses, times)
        if self._bar is None:
            print(line, flush=True)
            return
        tqdm.write(line, file=sys.stdout)
        self._bar.set_postfix_str(self._means(losses), refresh=False)
        self.progress(position)

    def epoch_end(self, position: Position) -> None:
        """Print the time taken and the time left."""
        now = time.monotonic()
        taken, self._epoch_started = now - self._epoch_started, now
        line = f"End of epoch {position.epoch} / {self._info.n_epochs} \t Time Taken: {taken:.0f} sec"
        left = self._seconds_left(position, now)
        if self._bar is None and left:
            line += f" \t Time Left: {duration(left)}"
        tqdm.write(line, file=sys.stdout)

    def close(self) -> None:
        """Leave the bar standing where it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _means(self, losses: dict[str, float]) -> str:
        for name, value in losses.items():
            self._recent.setdefault(name, deque(maxlen=_WINDOW)).append(value)
        return " ".join(f"{name} {sum(values) / len(values):.3g}" for name, values in self._recent.items())

    def _seconds_left(self, position: Position, now: float) -> float:
        done = position.total_iters - self._info.start.total_iters
        left = self._info.total_images - position.total_iters
        return max(0, left) * (now - self._started) / done if done > 0 else 0.0


def _knows_its_width() -> bool:
    """Return whether the terminal has columns; one of unknown width says 0, which would hide the bar."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):
        return False
