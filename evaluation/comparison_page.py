"""The page of a comparison: a table of means, one of differences, and each image by all runs side by side."""

from __future__ import annotations

import math
import os
import pathlib
from collections.abc import Sequence
from urllib.parse import quote

from dominate import tags as html

from evaluation.comparison import Test, best, comparable, difference, shared_images
from evaluation.style import image_row, new_page, printable
from evaluation.table import format_number, title
from util.files import write_text


def write_comparison(tests: Sequence[Test], out: pathlib.Path, display_winsize: int = 256) -> None:
    """Write ``out``/index.html; pictures stay where they are and are linked relative to it.

    The first test is the one that the others' differences are taken against.
    """
    images = shared_images(tests)
    page = new_page("Comparison of " + ", ".join(test.name for test in tests))
    with page, html.main():
        with html.header():
            html.h1("Comparison")
            html.span(f"{len(images):,} images in common", cls="soft")
        _means(tests)
        _differences(tests)
        for name in images:
            _row(tests, name, out, display_winsize)
    write_text(out / "index.html", page.render(pretty=False))


def format_comparison(tests: Sequence[Test]) -> str:
    """Return the means as text, a line for each test, and what cannot be compared."""
    metrics, refused = comparable(tests)
    width = max(len(test.name) for test in tests)
    lines = [
        f"{test.name:{width}}  "
        + "  ".join(f"{title(metric)} {_with_interval(test, metric)}" for metric in metrics if metric in test.mean)
        for test in tests
    ]
    return "\n".join([*lines, *refused])


def _with_interval(test: Test, metric: str) -> str:
    text = format_number(metric, test.mean.get(metric, math.nan))
    ends = test.intervals.get(metric)
    return text if ends is None else f"{text} ({' to '.join(format_number(metric, end) for end in ends)})"


def _means(tests: Sequence[Test]) -> None:
    metrics, refused = comparable(tests)
    with html.div(cls="card"):
        with html.table():
            _head(["mean (95 % interval)", *(title(metric) for metric in metrics)])
            for test in tests:
                with html.tr():
                    html.td(printable(test.name))
                    for metric in metrics:
                        is_best = test.mean.get(metric) == best(tests, metric)
                        cell = html.td(cls="number")
                        cell.add((html.b if is_best else html.span)(_with_interval(test, metric)))
        for line in refused:
            html.p(printable(line), cls="soft")


def _differences(tests: Sequence[Test]) -> None:
    """Show the differences to the first test, in bold where chance is unlikely."""
    metrics = comparable(tests)[0]
    rows = {test.name: {metric: difference(test, tests[0], metric) for metric in metrics} for test in tests[1:]}
    if not any(found for row in rows.values() for found in row.values()):
        return
    with html.div(cls="card"):
        with html.table():
            _head([f"difference to {tests[0].name}", *(title(metric) for metric in metrics)])
            for name, row in rows.items():
                with html.tr():
                    html.td(printable(name))
                    for metric, found in row.items():
                        text = "-" if found is None else _signed(metric, found.value, found.low, found.high)
                        cell = html.td(cls="number")
                        cell.add((html.b if found is not None and found.certain else html.span)(text))
        html.p("Means of differences image by image; bold where their 95 % interval leaves out 0.", cls="soft")


def _signed(metric: str, value: float, low: float, high: float) -> str:
    sign = "+" if value > 0 else ""
    return f"{sign}{format_number(metric, value)} ({format_number(metric, low)} to {format_number(metric, high)})"


def _head(cells: Sequence[str]) -> None:
    with html.tr():
        for index, cell in enumerate(cells):
            html.th(printable(cell), cls="number" if index else "")


def _row(tests: Sequence[Test], name: str, out: pathlib.Path, width: int) -> None:
    first = tests[0].files[name]
    metrics = comparable(tests)[0]
    with html.section(cls="card row"):
        html.h3(html.span(printable(name)))
        with image_row(len(tests) + 2):
            _figure(tests[0], first.get("real_A") or first.get("real"), "input", "", out, width)
            for test in tests:
                row = test.images.get(name, {})
                scores = ", ".join(f"{title(m)} {format_number(m, row[m])}" for m in metrics if m in row)
                _figure(test, test.result(name), test.name, scores, out, width)
            _figure(tests[0], first.get("real_B"), "target", "", out, width)


def _figure(test: Test, file: str | None, label: str, scores: str, out: pathlib.Path, width: int) -> None:
    if file is None:
        return
    shown = test.folder / pathlib.PurePosixPath(file)
    preview = test.folder / "previews" / pathlib.PurePosixPath(f"{file}.png").relative_to("images")
    with html.figure():
        image = html.img(src=_link(preview if preview.is_file() else shown, out), width=width, alt=printable(label))
        image["loading"] = "lazy"
        html.a(image, href=_link(shown, out))
        html.figcaption(printable(f"{label}: {scores}" if scores else label))


def _link(path: pathlib.Path, out: pathlib.Path) -> str:
    relative = os.path.relpath(path.resolve(), out.resolve())
    return quote(pathlib.Path(relative).as_posix().encode("utf-8", "surrogateescape"))
