"""Work of many clients in turn: each gets one item done, then the next client's turn comes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A bounded queue for several threads, round-robin over clients, in order within each.

    Args:
        limit: how many items may wait.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lines: dict[str, deque[T]] = {}  # clients in the order of their turns
        self._changed = threading.Condition()

    def __len__(self) -> int:
        with self._changed:
            return self._count()

    def _count(self) -> int:
        return sum(map(len, self._lines.values()))

    def put(self, client: str, items: Sequence[T]) -> bool:
        """Let a client's items wait; False, and none does, where they do not all fit."""
        with self._changed:
            if self._count() + len(items) > self.limit:
                return False
            if items:
                self._lines.setdefault(client, deque()).extend(items)
            self._changed.notify_all()
            return True

    def get(self, timeout: float) -> T | None:
        """Take the next item; None when nothing came within ``timeout`` seconds."""
        with self._changed:
            if not self._lines:
                self._changed.wait(timeout)
            if not self._lines:
                return None
            client = next(iter(self._lines))
            line = self._lines.pop(client)
            item = line.popleft()
            if line:
                self._lines[client] = line  # now the last in turn
            return item

    def wake(self) -> None:
        """Let everyone who waits in :meth:`get` return at once."""
        with self._changed:
            self._changed.notify_all()

    def discard(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Remove and return the waiting items that nobody wants any more."""
        with self._changed:
            removed = [item for line in self._lines.values() for item in line if unwanted(item)]
            kept = {client: deque(i for i in line if not unwanted(i)) for client, line in self._lines.items()}
            self._lines = {client: line for client, line in kept.items() if line}
            return removed

    def ahead(self, item: T) -> int:
        """Return how many items are taken before this one if nobody else comes; 0 when it does not wait."""
        with self._changed:
            places = {client: list(line) for client, line in self._lines.items()}
        for turn, (client, line) in enumerate(places.items()):
            if item in line:
                place = line.index(item)
                others = [min(len(o), place + (t < turn)) for t, (c, o) in enumerate(places.items()) if c != client]
                return place + sum(others)
        return 0
