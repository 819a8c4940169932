"""Send every event to all loggers, so that none of them can stop or slow the training."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from training.loggers.base import Logger, LoggerUnavailable, Position, RunInfo, SilentLogger, Times

if TYPE_CHECKING:  # --help stays free of it
    import numpy as np

_DROPPABLE = {"losses": 32, "visuals": 2}


def say(message: str) -> None:
    """Print one line to stderr without tearing a progress bar; never raise."""
    try:
        tqdm.write(message, file=sys.stderr)
    except (OSError, ValueError):
        return


class LoggerGroup:
    """Itself a :class:`Logger`: fans out to others and survives each of them.

    A logger that raises is reported in one line and left out from then on; KeyboardInterrupt passes. Loggers with
    ``slow = True`` work in a background thread each, and lose old events rather than hold up the training.

    Args:
        loggers: in the order in which they are called.
        close_seconds: how long :meth:`close` waits for all background threads together.
    """

    def __init__(self, loggers: Sequence[Logger], close_seconds: float = 15.0) -> None:
        self.loggers = [Background(logger) if getattr(logger, "slow", False) else logger for logger in loggers]
        self.close_seconds = close_seconds

    @property
    def takes_visuals(self) -> bool:
        """Whether any logger does something with previews, which cost a forward pass."""
        methods = [getattr(getattr(logger, "inner", logger), "visuals", None) for logger in self.loggers]
        return any(method and getattr(method, "__func__", method) is not SilentLogger.visuals for method in methods)

    def start(self, info: RunInfo) -> None:
        """Start all loggers."""
        self._call("start", info)

    def progress(self, position: Position) -> None:
        """Tell the loggers that want it of every step; costs no synchronisation of the device."""
        self._call("progress", position)

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Pass the losses on."""
        self._call("losses", position, losses, times)

    def visuals(self, position: Position, visuals: dict[str, np.ndarray], *, save: bool) -> None:
        """Pass the previews on."""
        self._call("visuals", position, visuals, save=save)

    def epoch_end(self, position: Position) -> None:
        """Pass the end of an epoch on."""
        self._call("epoch_end", position)

    def finished(self) -> None:
        """Tell all loggers that the training is complete."""
        self._call("finished")

    def close(self) -> None:
        """Close all loggers within about ``close_seconds``."""
        deadline = time.monotonic() + self.close_seconds
        self._call("close")
        for logger in self.loggers:
            if isinstance(logger, Background):
                logger.join(max(0.1, deadline - time.monotonic()))
        self.loggers = []

    def _call(self, method: str, *args: Any, **keywords: Any) -> None:
        for logger in list(self.loggers):
            action = getattr(logger, method, None)
            if action is not None and not _survive(_name(logger), action, *args, **keywords):
                self.loggers.remove(logger)


def _survive(name: str, action: Callable[..., object], *args: Any, **keywords: Any) -> bool:
    """Run ``action`` and return whether it succeeded, reporting a failure in one line."""
    try:
        action(*args, **keywords)
    except LoggerUnavailable as error:
        say(str(error))
        return False
    except (Exception, SystemExit) as error:  # any fault of a logger must end here, not in the training
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        say(f"{name} stopped ({reason[:300]}); training goes on without it")
        return False
    return True


def _name(logger: object) -> str:
    return type(getattr(logger, "inner", logger)).__name__


class Background:
    """Run a slow logger in its own daemon thread behind a bounded queue that drops its oldest events."""

    def __init__(self, inner: Logger) -> None:
        self.inner = inner
        self.dropped = 0
        self._queue: deque[tuple[str, tuple[Any, ...], dict[str, Any]]] = deque()
        self._ready = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name=type(inner).__name__, daemon=True)

    def start(self, info: RunInfo) -> None:
        """Start the thread, then the logger in it."""
        self._thread.start()
        self._put("start", info)

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Queue the losses."""
        self._put("losses", position, dict(losses), times)

    def visuals(self, position: Position, visuals: dict[str, np.ndarray], *, save: bool) -> None:
        """Queue the previews."""
        self._put("visuals", position, dict(visuals), save=save)

    def epoch_end(self, position: Position) -> None:
        """Queue the end of an epoch."""
        self._put("epoch_end", position)

    def finished(self) -> None:
        """Queue that the training is complete."""
        self._put("finished")

    def close(self) -> None:
        """Queue the end; :meth:`join` waits for it. A logger that has ``ending()`` hears of it at once."""
        ending = getattr(self.inner, "ending", None)
        if ending is not None:
            ending()
        self._put("close")

    def join(self, seconds: float) -> None:
        """Wait for the queue to empty, at most ``seconds``; say so when that was not enough."""
        if not self._thread.ident:
            return
        self._thread.join(seconds)
        if self._thread.is_alive():
            say(f"{type(self.inner).__name__} did not finish within {seconds:.0f} s and was left behind")

    def _put(self, method: str, *args: Any, **keywords: Any) -> None:
        with self._ready:
            if self._ended:
                return
            same = [event for event in self._queue if event[0] == method]
            if len(same) >= _DROPPABLE.get(method, sys.maxsize):
                self._drop(same[0])
            self._queue.append((method, args, keywords))
            self._ready.notify()

    def _drop(self, event: tuple[str, tuple[Any, ...], dict[str, Any]]) -> None:
        index = next(i for i, queued in enumerate(self._queue) if queued is event)
        del self._queue[index]
        self.dropped += 1

    def _work(self) -> None:
        while not self._ended:
            with self._ready:
                self._ready.wait_for(lambda: bool(self._queue))
                method, args, keywords = self._queue.popleft()
            alive = _survive(type(self.inner).__name__, getattr(self.inner, method), *args, **keywords)
            if method == "close" or not alive:
                self._end(closed=method == "close")

    def _end(self, closed: bool) -> None:
        with self._ready:
            self._ended = True
            self._queue.clear()
        if not closed:
            with contextlib.suppress(Exception, SystemExit):  # its first failure has been told of
                self.inner.close()
