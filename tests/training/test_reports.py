"""When pictures are made: at every display, at the end of short epochs, and always at the end of the run."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

import a2b
from training import reports
from training.checkpoint import load_state
from training.loggers import LoggerGroup, Position, SilentLogger, Times
from training.loggers.jsonl import read
from training.reports import Frequencies, Reporter

Train = Callable[..., int]


class Pictured(SilentLogger):
    """Keeps the positions of what it is shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[Position, bool]] = []

    def visuals(self, position: Position, visuals: dict[str, np.ndarray], *, save: bool) -> None:
        self.seen.append((position, save))


class Previews:
    """In place of a Previewer; counts."""

    count = 0

    def pictures(self, batch: Any) -> dict[str, np.ndarray]:
        self.count += 1
        return {}


def shown(
    epochs: int, images: int, display: int = 400, page: int = 1000, *, resumed: bool = False
) -> list[tuple[Position, bool]]:
    """Return where pictures were made in a training of so many epochs of so many images, one a step.

    Args:
        resumed: whether every step belongs to a session of its own.
    """

    def session(state: dict[str, int] | None = None) -> Reporter:
        reporter = Reporter(Frequencies(100, display, page), Previews(), [])  # type: ignore[arg-type]
        reporter.loggers = LoggerGroup([logger])
        if state is not None:
            reporter.load_state_dict(state)
        return reporter

    logger = Pictured()
    reporter = session()
    before = Position()
    for epoch in range(1, epochs + 1):
        for image in range(1, images + 1):
            now = before.after(1)
            ends = None if image < images else ("run" if epoch == epochs else "epoch")
            reporter.step(before, now, {}, {}, Times(0.1, 0.0), ends)
            reporter = session(reporter.state_dict()) if resumed else reporter
            before = now
        before = now._replace(epoch=epoch + 1, iters=0)
    return logger.seen


def test_short_epochs_have_a_row_each_of_their_end() -> None:
    seen = shown(epochs=4, images=8)
    assert [(position.epoch, position.iters) for position, _ in seen] == [(1, 1), (1, 8), (2, 8), (3, 8), (4, 8)]
    assert all(save for _, save in seen)


def test_many_tiny_epochs_do_not_have_a_row_each() -> None:
    seen = [position for position, _ in shown(epochs=4000, images=2)]
    ends = [position.epoch for position in seen if position.iters == 2]
    assert ends[:10] == list(range(1, 11)), "the first epochs"
    assert 80 < len(seen) < 150, "not 4000, whatever the epochs"
    assert seen[-1] == Position(4000, 2, 8000, 8000)


def test_long_epochs_are_shown_as_often_as_asked_and_the_run_at_its_end() -> None:
    seen = [(position.total_iters, save) for position, save in shown(epochs=2, images=1250)]
    marks = [(1, True), (400, False), (800, False), (1000, True), (1200, False), (1600, False), (2000, True)]
    assert seen == [*marks, (2400, False), (2500, True)]


def test_a_resume_changes_no_row() -> None:
    rows = shown(epochs=20, images=6, display=41)
    assert (7, 6) not in [(position.epoch, position.iters) for position, _ in rows], "image 41 was shown just before"
    assert shown(epochs=20, images=6, display=41, resumed=True) == rows


@pytest.mark.parametrize("loggers", [[], [SilentLogger()]])
def test_nothing_is_drawn_for_nobody(loggers: list[Any]) -> None:
    previews = Previews()
    reporter = Reporter(Frequencies(1, 1, 1), previews, [])  # type: ignore[arg-type]
    reporter.loggers = LoggerGroup(loggers)
    reporter.step(Position(), Position(1, 1, 1, 1), {}, {}, Times(0.1, 0.0), "run")
    assert previews.count == 0


def test_the_probability_of_adaptive_augmentation_stands_beside_the_losses(
    train: Train, aligned: pathlib.Path, tmp_path: pathlib.Path, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_LOOK_IMAGES", 6)
    where = ["--model", "pix2pix", "--dataroot", aligned, "--checkpoints_dir", tmp_path, "--name", "run"]
    adapt = ["--augment", "color", "--augment_p", "auto", "--augment_images", 10, "--augment_target", 0]
    train(*where, *tiny, *adapt, "--n_epochs", 2, "--n_epochs_decay", 0)
    records = [record["losses"] for record in read(tmp_path / "run" / "losses.jsonl")]
    told = [losses["augment_p"] for losses in records if "augment_p" in losses]
    assert len(records) == 12 and len(told) == 2, "not every step, but every look"
    assert told[-1] == pytest.approx(load_state(tmp_path / "run")["update"]["networks"]["augmentation.p"].item())
    assert "augment_p: " in (tmp_path / "run" / "loss_log.txt").read_text()


@pytest.mark.parametrize("end", [["--n_epochs", 3, "--n_epochs_decay", 0], ["--max_steps", 8]], ids=["whole", "steps"])
def test_the_last_row_of_the_page_is_what_the_network_does_last(
    train: Train, aligned: pathlib.Path, tmp_path: pathlib.Path, tiny: list[str], end: list[Any]
) -> None:
    where = ["--model", "pix2pix", "--dataroot", aligned, "--checkpoints_dir", tmp_path, "--name", "run"]
    train(*where, *tiny, "--no_html", "false", "--lr", 0.01, *end)
    images = tmp_path / "run" / "web" / "images"
    last = max(path.name.split("_")[0] for path in images.glob("*.png"))
    assert last == ("epoch003" if end[0] == "--n_epochs" else "epoch002")
    source, target = (np.asarray(Image.open(images / f"{last}_{label}.png")) for label in ("real_A", "fake_B"))
    translate = a2b.load(tmp_path / "run", gpu_ids="-1")
    assert np.abs(translate(source).astype(int) - target).max() <= 1
    assert f"images/{last}_fake_B.png" in (tmp_path / "run" / "web" / "index.html").read_text()
