"""All runs in the order of one metric: as text, as CSV and as a page. Free of torch."""

from __future__ import annotations

import csv
import io
import math
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dominate import tags as html

from evaluation.style import new_page, printable
from evaluation.table import LOWER_IS_BETTER, format_number, sorted_metrics, title
from util.files import write_text

Row = Mapping[str, float]
_FACTS = ("run", "measured", "model", "network", "parameters", "epochs", "training", "images")
_NUMBERS = ("rank", "parameters", "epochs", "images")


@dataclass(frozen=True)
class Entry:
    """One measurement of one run, and what the run was.

    Args:
        measured: where the figures are from: "test_latest", or "val, best" of the training itself.
        parameters: of the generators; None where their files are gone.
        training: how long it was trained, for people; "" where no log says so.
        images: measured; None where nobody noted it.
        measured_by: metric -> the network that measured it.
    """

    run: str
    measured: str
    mean: Row
    model: str = ""
    network: str = ""
    parameters: int | None = None
    epochs: int | None = None
    training: str = ""
    images: int | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    measured_by: Mapping[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """Return what is shown beside the metric, as text."""
        values = {name: getattr(self, name) for name in _FACTS}
        return {name: "" if value is None else str(value) for name, value in values.items()}

    def score(self, metric: str) -> str:
        """Return a metric with its interval, for people."""
        text = format_number(metric, self.mean[metric])
        ends = self.intervals.get(metric)
        return text if ends is None else f"{text} ({' to '.join(format_number(metric, end) for end in ends)})"


@dataclass(frozen=True)
class Leaderboard:
    """Entries that have a metric, the best first, and the names of the runs that lack it."""

    metric: str
    entries: Sequence[Entry]
    lacking: Sequence[str]

    @classmethod
    def of(cls, entries: Sequence[Entry], metric: str) -> Leaderboard:
        """Sort entries by a metric; a run of which one measurement has it is not named as lacking it."""
        having = [entry for entry in entries if not math.isnan(entry.mean.get(metric, math.nan))]
        sign = 1 if metric in LOWER_IS_BETTER else -1
        having.sort(key=lambda entry: (sign * entry.mean[metric], entry.run, entry.measured))
        found = {entry.run for entry in having}
        return cls(metric, having, sorted({entry.run for entry in entries} - found))

    def notes(self) -> list[str]:
        """Return a line for each reason why places may mean nothing, and one for the runs that lack the metric."""
        networks = sorted({entry.measured_by.get(self.metric, "") for entry in self.entries})
        counts = sorted({entry.images for entry in self.entries if entry.images is not None})
        notes = []
        if len(networks) > 1:
            notes.append(f"{title(self.metric)} was measured by {' and '.join(networks)}, which cannot be compared")
        if len(counts) > 1:
            notes.append(f"not all were measured on the same images ({', '.join(map(str, counts))} images)")
        if self.lacking:
            notes.append(f"without {title(self.metric)}: {', '.join(self.lacking)}")
        return notes

    def rows(self) -> list[list[str]]:
        """Return the table as text, titles first."""
        head = ["rank", *_FACTS, f"{title(self.metric)} (95 % interval)"]
        body = [[str(n), *e.facts().values(), e.score(self.metric)] for n, e in enumerate(self.entries, start=1)]
        return [head, *body]


def format_leaderboard(board: Leaderboard) -> str:
    """Return the table in columns, and the notes below it."""
    rows = board.rows()
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = [str.rjust if name in _NUMBERS else str.ljust for name in rows[0]]
    lines = [
        "  ".join(align(cell, width) for align, cell, width in zip(aligned, row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *board.notes()])


def write_leaderboard(board: Leaderboard, out: pathlib.Path) -> None:
    """Write ``index.html`` and ``leaderboard.csv``, which holds all metrics of the entries."""
    write_text(out / "index.html", _page(board))
    write_text(out / "leaderboard.csv", _csv(board))


def _page(board: Leaderboard) -> str:
    page = new_page(f"Leaderboard by {title(board.metric)}")
    head, *body = board.rows()
    with page, html.main():
        html.header(html.h1("Leaderboard"), html.span(f"by {title(board.metric)}", cls="soft"))
        with html.div(cls="card"):
            with html.table():
                html.tr(html.th(name, cls=_alignment(name)) for name in head)
                for row in body:
                    html.tr(html.td(printable(cell), cls=_alignment(n)) for n, cell in zip(head, row, strict=True))
            for note in board.notes():
                html.p(printable(note), cls="soft")
    return str(page.render(pretty=False))


def _alignment(name: str) -> str:
    return "number" if name in _NUMBERS or "interval" in name else ""


def _csv(board: Leaderboard) -> str:
    text, metrics = io.StringIO(), sorted_metrics([entry.mean for entry in board.entries])
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", *_FACTS, *metrics, f"{board.metric}_low", f"{board.metric}_high"])
    for rank, entry in enumerate(board.entries, start=1):
        facts = [_unlike_formula(cell) for cell in entry.facts().values()]
        ends = entry.intervals.get(board.metric, (math.nan, math.nan))
        numbers = [*(entry.mean.get(metric, math.nan) for metric in metrics), *ends]
        writer.writerow([rank, *facts, *("" if math.isnan(n) else f"{n:.6g}" for n in numbers)])
    return text.getvalue()


def _unlike_formula(cell: str) -> str:
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell
