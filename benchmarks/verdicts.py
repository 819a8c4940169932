"""What others reported, against figures of several seeds: a table of rows and one of claims."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.page import table

Claims = Mapping[str, tuple[str, str]]


def verdict(better: Sequence[float], worse: Sequence[float], *, lower: bool) -> str:
    """Return "confirmed" or "refuted" where all seeds agree, and there are three at least; else "undecided"."""
    agree = [(a < b) == lower and a != b for a, b in zip(better, worse, strict=True)]
    if len(agree) < 3 or len(set(agree)) > 1:
        return "undecided"
    return "confirmed" if agree[0] else "refuted"


def section(found: Sequence[Mapping[str, float]], claims: Claims, metric: str, *, lower: bool, places: int = 0) -> str:
    """Return both tables as Markdown.

    Args:
        found: of each seed, the metric by row.
        claims: what was said -> the row that should be better, and the one that it should be better than.
        lower: whether less is better.
        places: behind the point.
    """
    values = {title: [rows[title] for rows in found] for title in found[0]}
    rows = [[title, *(f"{v:.{places}f}" for v in row), mean(row, places)] for title, row in values.items()]
    judged = []
    for claim, (better, worse) in claims.items():
        if better in values and worse in values:
            differences = [a - b for a, b in zip(values[better], values[worse], strict=True)]
            decided = verdict(values[better], values[worse], lower=lower)
            judged.append([claim, decided, mean(differences, places, "+")])
    head = [metric, *(f"seed {number}" for number in range(len(found))), "mean"]
    return f"{table(head, rows)}\n\n{table(['claim', 'verdict', f'difference in {metric}'], judged)}"


def mean(values: Sequence[float], places: int, sign: str = "") -> str:
    """Return a mean, and of several values their standard deviation."""
    spread = f" ± {statistics.stdev(values):.{places}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.{places}f}{spread}"
