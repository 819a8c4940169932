"""The results page: one row per image, pictures side by side, with its metrics. Free of torch."""

from __future__ import annotations

import pathlib
import time
import zlib
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

import numpy as np
from dominate import tags as html
from dominate.util import raw
from PIL import Image

from evaluation.style import image_row, new_page, options_fold, printable
from evaluation.table import better_lines, format_number, interval_line, sorted_metrics, title
from util.files import atomic_file, write_text

ROWS_PER_PAGE = 200
_WRITE_SECONDS = 3.0
_PREVIEW_PIXELS = 1024
_SHOWN_BY_BROWSERS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class Summary(Protocol):
    """What the page shows of evaluation.metrics.MetricTable."""

    baselines: dict[str, dict[str, float]]

    rows: dict[str, dict[str, float]]

    def summary(self) -> dict[str, float]:
        """Return the mean metrics."""

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Return the intervals of the means."""

    def better(self) -> dict[str, dict[str, int]]:
        """Return by baseline and metric on how many images the model is better."""


class ResultsPage:
    """Write ``<folder>/index.html``, and ``page_2.html`` and so on beyond 200 rows.

    Every few seconds and at :meth:`finish` the pages replace the older ones whole, so an interruption keeps what is
    done. Pictures load as they come into view.

    Args:
        folder: of the results; image files lie below it.
        heading: title of the page.
        display_winsize: width in pixels at which pictures are shown.
        options: flags to list in a fold.
        sources: where their values came from.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        heading: str,
        display_winsize: int = 256,
        options: Mapping[str, object] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.heading, self.display_winsize = folder, heading, display_winsize
        self.options, self.sources = options or {}, sources or {}
        self._count = 0
        self._full: list[bytes] = []  # the rows of pages that are complete, compressed: there may be 100,000 images
        self._last: list[str] = []
        self._dirty: set[int] = set()
        self._table: Summary | None = None
        self._written = 0.0

    def __len__(self) -> int:
        return self._count

    def add(
        self,
        name: str,
        files: Mapping[str, pathlib.Path],
        previews: Mapping[str, np.ndarray] | None = None,
        metrics: Mapping[str, float] | None = None,
        beside: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        """Add an image's row.

        Args:
            name: of the image, with its subfolders; shown as it is.
            files: label -> full-depth file below the folder, already written.
            previews: label -> (H,W,3) uint8 of the same, stored below ``previews/`` where browsers would not show
                the file itself well: 16-bit, float, odd channels, or very large. Left out, a stored one is used.
            metrics: of this image.
            beside: what baselines score on it.
        """
        shown = {label: self._shown_file(path, (previews or {}).get(label)) for label, path in files.items()}
        self._last.append(self._row(name, files, shown, {"": metrics or {}} | dict(beside or {})))
        self._dirty.add(self._page_of(self._count))
        self._count += 1
        if len(self._last) == ROWS_PER_PAGE:
            self._full.append(zlib.compress("".join(self._last).encode()))
            self._last = []
        if time.monotonic() - self._written > _WRITE_SECONDS:
            self.write()

    def keep_previews(self, files: Mapping[str, pathlib.Path], previews: Mapping[str, np.ndarray]) -> None:
        """Store the previews of an image whose row is added later, maybe by another process; arguments as in add."""
        for label, path in files.items():
            self._shown_file(path, previews.get(label))

    def finish(self, table: Summary | None = None) -> None:
        """Write all pages a last time, with the means on top; remove those left by an earlier, longer test."""
        self._table = table
        self._dirty = set(range(self._pages()))
        self.write()
        for stale in set(self.folder.glob("page_*.html")) - {self.folder / _file_name(n) for n in range(self._pages())}:
            stale.unlink()

    def write(self) -> None:
        """Write the pages that changed."""
        for page in sorted(self._dirty | {0}):
            self._write_page(page)
        self._dirty.clear()
        self._written = time.monotonic()

    def _page_of(self, row: int) -> int:
        return row // ROWS_PER_PAGE

    def _pages(self) -> int:
        return self._page_of(max(0, self._count - 1)) + 1

    def _rows_of(self, number: int) -> str:
        return zlib.decompress(self._full[number]).decode() if number < len(self._full) else "".join(self._last)

    def _write_page(self, number: int) -> None:
        page = new_page(self.heading)
        with page, html.main():
            with html.header():
                html.h1(printable(self.heading))
                html.span(f"{self._count:,} images", cls="soft")
            self._summary()
            self._navigation(number)
            raw(self._rows_of(number))
            self._navigation(number)
            if self.options:
                options_fold(self.options, self.sources)
        write_text(self.folder / _file_name(number), page.render(pretty=False))

    def _summary(self) -> None:
        if self._table is None or not self._table.summary():
            return
        rows = {"model": self._table.summary()} | self._table.baselines
        metrics = sorted_metrics(rows.values())
        with html.div(cls="card"), html.table():
            with html.tr():
                html.th("mean")
                for metric in metrics:
                    html.th(title(metric), cls="number")
            for name, row in rows.items():
                with html.tr(cls="given" if name == "model" else "default"):
                    html.td(printable(name))
                    for metric in metrics:
                        html.td(format_number(metric, row.get(metric, float("nan"))), cls="number")
        table = self._table
        for line in [*interval_line(table.intervals()), *better_lines(table.better(), len(table.rows))]:
            html.p(printable(line), cls="soft")

    def _navigation(self, current: int) -> None:
        pages = self._pages()
        if pages == 1:
            html.div(style="height:14px")
            return
        with html.nav():
            for number in range(pages):
                if number == current:
                    html.b(str(number + 1))
                else:
                    html.a(str(number + 1), href=_file_name(number))

    def _row(
        self,
        name: str,
        files: Mapping[str, pathlib.Path],
        shown: Mapping[str, pathlib.Path],
        metrics: Mapping[str, Mapping[str, float]],
    ) -> str:
        row = html.section(cls="card row", id=f"row{self._count + 1}")
        with row:
            with html.h3():
                for baseline, numbers in metrics.items():
                    self._numbers(baseline, numbers)
                html.span(printable(name))
            with image_row(len(files)):
                for label, path in files.items():
                    self._figure(label, path, shown[label])
        return row.render(pretty=False)

    def _numbers(self, baseline: str, metrics: Mapping[str, float]) -> None:
        with html.span(cls="numbers" if not baseline else "numbers beside"):
            if baseline:
                html.span(f"{printable(baseline)}: ")
            for metric in sorted_metrics([metrics]):
                html.span(f"{title(metric)} ")
                html.b(format_number(metric, metrics[metric]))

    def _figure(self, label: str, path: pathlib.Path, shown: pathlib.Path) -> None:
        with html.figure():
            image = html.img(src=self._link(shown), width=self.display_winsize, alt=printable(label), loading="lazy")
            html.a(image, href=self._link(path))
            html.figcaption(printable(label))

    def _link(self, path: pathlib.Path) -> str:
        return quote(path.relative_to(self.folder).as_posix().encode("utf-8", "surrogateescape"))

    def _shown_file(self, path: pathlib.Path, preview: np.ndarray | None) -> pathlib.Path:
        """Return the file that a browser shows for ``path``: itself, or a preview written for it."""
        relative = path.relative_to(self.folder)
        below = relative.parts[1:] if relative.parts[0] == "images" and len(relative.parts) > 1 else relative.parts
        target = self.folder.joinpath("previews", *below[:-1], f"{below[-1]}.png")
        if preview is None:
            return target if target.is_file() else path
        if _is_plain(path) and max(preview.shape[:2]) <= _PREVIEW_PIXELS:
            return path
        picture = Image.fromarray(preview.squeeze(-1) if preview.shape[-1] == 1 else preview)
        picture.thumbnail((_PREVIEW_PIXELS, _PREVIEW_PIXELS))
        with atomic_file(target, durable=False) as file:
            picture.save(file, "PNG")
        return target


def _file_name(number: int) -> str:
    return "index.html" if number == 0 else f"page_{number + 1}.html"


def _is_plain(path: pathlib.Path) -> bool:
    """Whether browsers show the file as it is: 8-bit grey or colour."""
    if path.suffix.lower() not in _SHOWN_BY_BROWSERS:
        return False
    with Image.open(path) as image:
        header = _head(path) if image.format == "PNG" else b""
        return image.mode in ("L", "RGB", "RGBA") and (not header or header[24] <= 8)


def _head(path: pathlib.Path) -> bytes:
    """Return the first 25 bytes; the last of them is a PNG's bit depth, which Pillow hides for 16-bit colour."""
    with path.open("rb") as file:
        return file.read(25)
