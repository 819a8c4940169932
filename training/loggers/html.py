"""``web/index.html``: a page of image rows, loss curves and options that updates itself while the training runs."""

from __future__ import annotations

import pathlib
import re
import time
from urllib.parse import quote

import numpy as np
from dominate import document
from dominate import tags as html
from dominate.util import raw
from PIL import Image

from evaluation.style import image_row, new_page, options_fold, printable
from training.loggers.base import LoggerUnavailable, Position, RunInfo, SilentLogger, Times
from training.loggers.curves import svg_curve
from training.loggers.history import LossHistory
from training.loggers.text import duration
from util.files import atomic_file, write_text

_IMAGE = re.compile(r"epoch(\d+)_(.+)\.png")
_REFRESH_SECONDS = 10


class HtmlPage(SilentLogger):
    """Write ``<run_dir>/web``; the curves come from ``losses.jsonl``, the rows from the image files there.

    One row per epoch, newest first: images are saved when ``save`` is set, else once in each epoch, and later ones
    of the same epoch replace earlier ones. Rendering takes at most a twentieth of the time.

    Args:
        display_winsize: width in pixels at which images are shown; the files keep their own size.
    """

    slow = True

    def __init__(self, display_winsize: int = 256) -> None:
        self.display_winsize = display_winsize
        self._saved_epoch = 0
        self._rendered, self._render_seconds = -1e9, 0.0
        self._status, self._complete = "running", False

    def start(self, info: RunInfo) -> None:
        """Read the losses of an earlier session, drop what lies after its checkpoint and write the first page."""
        self._info, self._position = info, info.start
        self._started = time.monotonic()
        self._history = LossHistory(info.run_dir / "losses.jsonl")
        self._images = info.run_dir / "web" / "images"
        self._labels: list[str] = []
        self._images.mkdir(parents=True, exist_ok=True)
        begun = info.start.epoch - (info.start.iters == 0)
        for path in self._later_images(begun):
            path.unlink(missing_ok=True)
        self._saved_epoch = begun if begun in self._saved_images() else 0
        self._render()

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Write the page again unless it was just written."""
        self._position = position
        if time.monotonic() - self._rendered > max(_REFRESH_SECONDS / 2, 20 * self._render_seconds):
            self._render()

    def visuals(self, position: Position, visuals: dict[str, np.ndarray], *, save: bool) -> None:
        """Save ``images/epoch001_<label>.png`` and write the page."""
        self._position = position
        if not save and position.epoch == self._saved_epoch:
            return
        self._check_folder()
        for label, image in visuals.items():
            write_png(self._images / f"epoch{position.epoch:03d}_{_file_label(label)}.png", image)
        self._labels = list(dict.fromkeys([*self._labels, *map(_file_label, visuals)]))
        self._saved_epoch = position.epoch
        self._render()

    def epoch_end(self, position: Position) -> None:
        """Remember the position; the next report writes the page."""
        self._position = position

    def finished(self) -> None:
        """Remember that the training is complete, whatever number of images was expected."""
        self._complete = True

    def close(self) -> None:
        """Write the page a last time, as finished or interrupted, without further refreshing."""
        done = self._complete or self._position.total_iters >= self._info.total_images
        self._status = "finished" if done else "interrupted"
        self._render()

    def _check_folder(self) -> None:
        """Make no folder anew where the run's has vanished: it would take the next save, and lack all else."""
        if not self._info.run_dir.is_dir():
            raise LoggerUnavailable(f"{self._info.run_dir}: the run's folder has vanished")

    def _render(self) -> None:
        begin = time.monotonic()
        self._check_folder()
        self._history.update()
        page = new_page(f"{self._info.name}: training", _REFRESH_SECONDS if self._status == "running" else None)
        with page, html.main():
            self._header()
            self._curves()
            self._rows()
            options_fold(self._info.options, self._info.options_sources)
        self._write(page)
        self._rendered = time.monotonic()
        self._render_seconds = self._rendered - begin

    def _write(self, page: document) -> None:
        write_text(self._info.run_dir / "web" / "index.html", page.render(pretty=False), make_folder=False)

    def _header(self) -> None:
        info, position = self._info, self._position
        with html.header():
            html.h1(printable(info.name))
            html.span(printable(info.model), cls="soft")
            html.span(self._status, cls=f"badge {self._status}")
        share = min(1.0, position.total_iters / max(1, info.total_images))
        with html.div(cls="card"):
            html.span(f"Epoch {position.epoch} of {info.n_epochs}, {position.total_iters:,} of ")
            html.span(f"{info.total_images:,} images ({share:.1%})")
            with html.div(cls="bar"):
                html.div(style=f"width:{share:.2%}")
            html.span(f"{self._time_left()}updated {time.strftime('%Y-%m-%d %H:%M:%S')}", cls="soft")

    def _time_left(self) -> str:
        done = self._position.total_iters - self._info.start.total_iters
        left = self._info.total_images - self._position.total_iters
        if self._status != "running" or done <= 0:
            return ""
        return f"about {duration(left * (time.monotonic() - self._started) / done)} left, "

    def _curves(self) -> None:
        if not self._history.values:
            return
        html.h2("Losses and metrics")
        with html.div(cls="curves"):
            for name, (steps, values) in self._history.values.items():
                epochs = [step / max(1, self._info.images_per_epoch) for step in steps]
                with html.div(cls="card"):
                    html.b(printable(name))
                    html.span(f"{values[-1]:.4g}", cls="now")
                    raw(svg_curve(epochs, values, "epoch"))

    def _rows(self) -> None:
        rows = self._saved_images()
        if rows:
            html.h2("Images")
        for epoch in sorted(rows, reverse=True):
            with html.section(cls="card row", id=f"epoch{epoch}"):
                html.h3(f"Epoch {epoch}")
                with image_row(len(rows[epoch])):
                    for label in sorted(rows[epoch], key=self._label_order):
                        self._figure(label, rows[epoch][label])

    def _figure(self, label: str, path: pathlib.Path) -> None:
        link = f"images/{quote(path.name)}"
        version = int(path.stat().st_mtime)
        with html.figure():
            image = html.img(src=f"{link}?{version}", width=self.display_winsize, alt=label, loading="lazy")
            html.a(image, href=link)
            html.figcaption(printable(label))

    def _saved_images(self) -> dict[int, dict[str, pathlib.Path]]:
        """Return epoch -> label -> file."""
        rows: dict[int, dict[str, pathlib.Path]] = {}
        for path in self._images.glob("epoch*_*.png"):
            if match := _IMAGE.fullmatch(path.name):
                rows.setdefault(int(match[1]), {})[match[2]] = path
        return rows

    def _later_images(self, epoch: int) -> list[pathlib.Path]:
        """Return the images of epochs after ``epoch``, made by a session that ended without saving."""
        saved = self._saved_images()
        return [path for number in saved if number > epoch for path in saved[number].values()]

    def _label_order(self, label: str) -> tuple[int, str]:
        return (self._labels.index(label) if label in self._labels else len(self._labels), label)


def write_png(path: pathlib.Path, image: np.ndarray) -> None:
    """Write a uint8 image (H,W), (H,W,1) or (H,W,3) atomically."""
    plain = image.squeeze(-1) if image.ndim == 3 and image.shape[-1] == 1 else image
    with atomic_file(path, make_folder=False) as file:
        Image.fromarray(plain).save(file, "PNG")


def _file_label(label: str) -> str:
    return re.sub(r"[^\w.-]", "_", label)
