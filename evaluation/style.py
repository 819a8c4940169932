"""What the training page and the results page share: the stylesheet, the document, the table of options."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping

from dominate import document
from dominate import tags as html
from dominate.util import raw


@functools.cache
def stylesheet() -> str:
    """Return the CSS that each page embeds, so that a page is one file and needs no network."""
    return (pathlib.Path(__file__).parent / "style.css").read_text(encoding="utf-8")


def new_page(title: str, refresh_seconds: int | None = None) -> document:
    """Return an empty page; with ``refresh_seconds`` the browser loads it again by itself."""
    page = document(title=printable(title))
    with page.head:
        html.meta(charset="utf-8")
        html.meta(name="viewport", content="width=device-width, initial-scale=1")
        if refresh_seconds is not None:
            html.meta(http_equiv="refresh", content=str(refresh_seconds))
        html.style(raw(stylesheet()))
    page["lang"] = "en"
    return page


def image_row(count: int) -> html.div:
    """Return what holds ``count`` figures side by side, shrunk to fit in one line while each is 140 pixels wide."""
    return html.div(cls="images", style=f"--images:{max(1, count)}")


def printable(text: object) -> str:
    """Return text that UTF-8 can hold, whatever bytes a file name was made of, without control characters."""
    whole = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in whole)


def options_fold(options: Mapping[str, object], sources: Mapping[str, str]) -> html.details:
    """Return a folded table of all options; those that are not defaults come first and stand out."""
    given = {name for name in options if sources.get(name, "default") != "default"}
    fold = html.details(html.summary(f"Options ({len(given)} of {len(options)} given)"))
    with fold, html.div(cls="card"), html.table():
        with html.tr():
            html.th("option"), html.th("value"), html.th("from")
        for name in sorted(options, key=lambda name: (name not in given, name)):
            with html.tr(cls="given" if name in given else "default"):
                html.td(html.code(printable(f"--{name}")))
                html.td(html.code(printable(options[name])))
                html.td(printable(sources.get(name, "default")), cls="soft")
    return fold
