"""Clients take turns."""

from __future__ import annotations

import threading
import time

from inference.server.fair_queue import FairQueue


def drained(queue: FairQueue[str]) -> list[str]:
    items = []
    while (item := queue.get(0)) is not None:
        items.append(item)
    return items


def test_a_large_batch_does_not_keep_others_waiting() -> None:
    queue: FairQueue[str] = FairQueue(10)
    assert queue.put("big", ["b1", "b2", "b3", "b4"])
    assert queue.put("one", ["o1"])
    assert queue.put("two", ["t1", "t2"])
    assert drained(queue) == ["b1", "o1", "t1", "b2", "t2", "b3", "b4"]


def test_who_comes_again_is_last_in_turn() -> None:
    queue: FairQueue[str] = FairQueue(10)
    queue.put("a", ["a1"])
    queue.put("b", ["b1", "b2"])
    assert queue.get(0) == "a1"
    queue.put("a", ["a2"])
    assert drained(queue) == ["b1", "a2", "b2"]


def test_what_does_not_fit_does_not_wait_in_part() -> None:
    queue: FairQueue[str] = FairQueue(3)
    assert queue.put("a", ["1", "2"])
    assert not queue.put("b", ["3", "4"])
    assert queue.put("b", ["3"])
    assert len(queue) == 3 and drained(queue) == ["1", "3", "2"]


def test_items_that_nobody_wants_go() -> None:
    queue: FairQueue[str] = FairQueue(10)
    queue.put("a", ["x1", "a1", "x2"])
    queue.put("b", ["x3"])
    assert queue.discard(lambda item: item.startswith("x")) == ["x1", "x2", "x3"]
    assert drained(queue) == ["a1"]


def test_ahead_counts_the_turns_before() -> None:
    queue: FairQueue[str] = FairQueue(10)
    queue.put("a", ["a1", "a2", "a3"])
    queue.put("b", ["b1"])
    queue.put("c", ["c1", "c2"])
    order = ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert [queue.ahead(item) for item in order] == list(range(6))
    assert queue.ahead("gone") == 0
    assert drained(queue) == order


def test_get_wakes_when_something_comes() -> None:
    queue: FairQueue[str] = FairQueue(10)
    threading.Timer(0.05, queue.put, ("a", ["1"])).start()
    began = time.monotonic()
    assert queue.get(20) == "1"
    assert time.monotonic() - began < 10
