"""The results page: inputs, outputs and targets side by side, with the metrics of each image."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
from dominate import document
from dominate import tags as html
from PIL import Image

from evaluation.metrics import MetricTable, Row
from evaluation.style import new_page, options_fold, printable
from util.files import atomic_file, write_text

ROWS_PER_PAGE = 200
_DECIMALS = {"psnr": ".2f", "ssim": ".4f", "lpips": ".4f"}


@dataclass(frozen=True)
class Entry:
    """One row: where the full images and their previews are, by label, relative to the page."""

    name: str
    files: dict[str, str]
    previews: dict[str, str]
    metrics: Row


class ResultsPage:
    """``index.html`` of a results folder, and ``page_2.html`` and on where there are many images.

    Args:
        folder: of the results; full images lie in its ``images/``.
        title: heading.
        width: of the pictures on the page, in pixels.
        options, sources: the flags to list below, and where each came from.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        title: str,
        width: int,
        options: Mapping[str, object],
        sources: Mapping[str, str],
    ) -> None:
        self.folder, self.title, self.width = folder, title, width
        self.options, self.sources = options, sources
        self.entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self.entries)

    def add(
        self, name: str, files: Mapping[str, pathlib.Path], pictures: Mapping[str, np.ndarray], metrics: Row
    ) -> None:
        """Take one image's outputs.

        Args:
            files: the full images by label, in the order of the columns.
            pictures: the same as (H,W,3) uint8; written as previews where a browser could not show the file itself.
            metrics: of this image; may be empty.
        """
        previews = {label: self._preview(path, pictures[label]) for label, path in files.items()}
        relative = {label: self._relative(path) for label, path in files.items()}
        self.entries.append(Entry(name, relative, previews, metrics))

    def _preview(self, path: pathlib.Path, picture: np.ndarray) -> str:
        with Image.open(path) if path.suffix == ".png" else contextlib.nullcontext() as image:
            if image is not None and image.mode in ("L", "RGB"):
                return self._relative(path)
        target = self.folder / "previews" / path.relative_to(self.folder / "images").with_suffix(".png")
        with atomic_file(target) as file:
            Image.fromarray(picture).save(file, "PNG")
        return self._relative(target)

    def _relative(self, path: pathlib.Path) -> str:
        return os.path.relpath(path, self.folder).replace(os.sep, "/")

    def finish(self, table: MetricTable) -> None:
        """Write all pages."""
        pages = [self.entries[i : i + ROWS_PER_PAGE] for i in range(0, len(self.entries), ROWS_PER_PAGE)] or [[]]
        for number, entries in enumerate(pages, 1):
            page = new_page(self.title)
            with page, html.main():
                self._header(table, number, len(pages))
                for entry in entries:
                    self._row(entry)
                _links(number, len(pages))
                options_fold(self.options, self.sources)
            self._write(page, number)

    def _write(self, page: document, number: int) -> None:
        write_text(self.folder / _page_name(number), page.render(pretty=False))

    def _header(self, table: MetricTable, number: int, pages: int) -> None:
        with html.header():
            html.h1(printable(self.title))
            html.span(f"{len(self.entries)} images", cls="soft")
        if table.rows and number == 1:
            _summary(table)
        _links(number, pages)

    def _row(self, entry: Entry) -> None:
        with html.section(cls="card row"):
            html.h3(printable(entry.name))
            if entry.metrics:
                html.p(" · ".join(f"{name} {format_metric(name, v)}" for name, v in entry.metrics.items()), cls="soft")
            with html.div(cls="images"):
                for label in entry.files:
                    self._figure(entry, label)

    def _figure(self, entry: Entry, label: str) -> None:
        with html.figure():
            image = html.img(src=quote(entry.previews[label]), width=self.width, alt=label, loading="lazy")
            html.a(image, href=quote(entry.files[label]))
            html.figcaption(printable(label))


def format_metric(name: str, value: float) -> str:
    """Return a metric as pages show it."""
    if not math.isfinite(value):
        return "equal" if value > 0 else "undefined"
    return format(value, _DECIMALS.get(name, ".4g"))


def _summary(table: MetricTable) -> None:
    summary = table.summary()
    with html.div(cls="card"), html.table():
        with html.tr():
            html.th("mean")
            for name in summary:
                html.th(name)
        for label, row in {"this model": summary, **table.baselines}.items():
            with html.tr():
                html.td(label)
                for name in summary:
                    html.td(format_metric(name, row[name]) if name in row else "")


def _page_name(number: int) -> str:
    return "index.html" if number == 1 else f"page_{number}.html"


def _links(number: int, pages: int) -> None:
    if pages > 1:
        with html.p(cls="soft"):
            html.span(f"page {number} of {pages}: ")
            for other in range(1, pages + 1):
                html.a(f" {other} ", href=_page_name(other))
