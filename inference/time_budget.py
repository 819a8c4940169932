"""``test.py --time_budget``: as many of the joined runs, and of the turned views, as fit into a span of time."""

from __future__ import annotations

import json
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inference.predictor import Predictor
from util.errors import UserError
from util.files import write_text

SHARE_FILE = "time_budget.json"
_TIMED = 2  # images that are timed, after one that warms up
_FREE = 0.1  # of the time: for reading, writing, and images that take longer than the first ones


@dataclass(frozen=True)
class Share:
    """So many runs, the first that are named, in so many views, the first of ``SYMMETRIES``."""

    runs: int
    views: int


def share_of(budget: float, passes: float, runs: int, views: int) -> Share:
    """Return what fits: first further runs, as they differ more than views do, then 2, 4 or all 8 views of each.

    Args:
        budget: seconds.
        passes: seconds that one view by one run takes, of all images together.
        runs, views: that there are.
    """
    affordable = max(1, int(budget / passes))
    chosen = min(runs, affordable)
    return Share(chosen, max(count for count in (1, 2, 4, 8) if count <= max(1, min(views, affordable // chosen))))


def fit(predictor: Predictor, batches: Sequence[Mapping[str, Any]], count: int, budget: float) -> Share:
    """Return what fits into ``budget`` seconds, by the time of one view by one run of the first images.

    Args:
        batches: these images, as the predictor takes them.
        count: of all images.

    Raises:
        UserError: there is no image to time.
    """
    if not batches:
        raise UserError("--time_budget: none of the first images can be read and held in memory, so none is timed")
    runs, views = predictor.passes
    predictor.limit(1, 1)
    seconds = min(_seconds(predictor, batches[:_TIMED]) for _ in range(2))
    share = share_of((1 - _FREE) * budget, seconds * count, runs, views)
    predictor.limit(runs, views)
    return share


def _seconds(predictor: Predictor, batches: Sequence[Mapping[str, Any]]) -> float:
    """Return the seconds that an image takes."""
    began = time.perf_counter()
    for batch in batches:
        predictor(batch)
    return (time.perf_counter() - began) / len(batches)


def use(predictor: Predictor, share: Share) -> str:
    """Let the predictor do no more than its share; say once which that is, and return it in words.

    A share that an earlier test has recorded may be of more than there is now.
    """
    there = predictor.passes
    own = tuple(map(min, (share.runs, share.views), there))
    numbers = zip(own, there, ("runs", "views"), strict=True)
    words = " and ".join(f"{count} of {most} {what}" for count, most, what in numbers if most > 1)
    predictor.limit(*own)
    print(f"--time_budget: {words}", file=sys.stderr)
    return words


def record_share(folder: pathlib.Path, share: Share) -> None:
    """Keep the choice in a folder of results, for a test that is interrupted and taken up.

    UserError where the folder cannot be written to.
    """
    try:
        write_text(folder / SHARE_FILE, json.dumps(asdict(share)) + "\n")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); name another folder") from None


def recorded_share(folder: pathlib.Path) -> Share | None:
    """Return the choice that a folder of results was begun with; None where there is none."""
    try:
        values = json.loads((folder / SHARE_FILE).read_text(encoding="utf-8"))
        return Share(int(values["runs"]), int(values["views"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
