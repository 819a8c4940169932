"""The training page: rows, curves, options, state."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

from training.loggers import Position, RunInfo, Times
from training.loggers.curves import svg_curve
from training.loggers.history import LossHistory
from training.loggers.html import HtmlPage
from training.loggers.jsonl import JsonLines

TIMES = Times(0.1, 0.01)
PICTURES = {"real_A": np.full((4, 6, 3), 90, np.uint8), "fake_B": np.full((4, 6), 7, np.uint8)}


def run_info(folder, **changes):
    facts = {"total_steps": 30, "total_images": 30, "images_per_epoch": 10, "n_epochs": 3, "start": Position()}
    options = {"lr": 0.0002, "dataroot": "<script>alert(1)</script>"}
    return RunInfo(folder, "<b>demo", "pix2pix", options, {"dataroot": "command line"}, **(facts | changes))


def page_of(folder):
    return (folder / "web" / "index.html").read_text(encoding="utf-8")


def test_images_are_saved_under_the_established_names_newest_first(tmp_path):
    page = HtmlPage(display_winsize=123)
    page.start(run_info(tmp_path))
    page.visuals(Position(1, 5, 5, 5), PICTURES, save=False)  # the first of an epoch is kept all the same
    page.visuals(Position(1, 8, 8, 8), {"real_A": PICTURES["real_A"] + 1}, save=False)
    page.visuals(Position(2, 5, 15, 15), PICTURES, save=True)
    saved = sorted(path.name for path in (tmp_path / "web" / "images").iterdir())
    assert saved == [f"epoch{e:03d}_{label}.png" for e in (1, 2) for label in ("fake_B", "real_A")]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "web/images/epoch001_real_A.png")), PICTURES["real_A"])
    text = page_of(tmp_path)
    assert text.index("epoch002_real_A.png") < text.index("epoch002_fake_B.png") < text.index("epoch001_real_A.png")
    assert 'width="123"' in text
    assert text.count('class="images" style="--images:2"') == 2, "so that they fit in one line"


def test_later_images_of_an_epoch_replace_earlier_ones_when_saved(tmp_path):
    page = HtmlPage()
    page.start(run_info(tmp_path))
    for value, save in ((1, True), (2, True), (3, False)):
        page.visuals(Position(1, value, value, value), {"fake": np.full((2, 2), value, np.uint8)}, save=save)
    assert np.asarray(Image.open(tmp_path / "web/images/epoch001_fake.png"))[0, 0] == 2


def test_the_page_refreshes_itself_only_while_training(tmp_path):
    page = HtmlPage()
    page.start(run_info(tmp_path))
    assert 'http-equiv="refresh"' in page_of(tmp_path) and ">running<" in page_of(tmp_path)
    page.epoch_end(Position(1, 10, 10, 10))
    page.close()
    assert 'http-equiv="refresh"' not in page_of(tmp_path) and ">interrupted<" in page_of(tmp_path)
    page.epoch_end(Position(3, 10, 30, 30))
    page.close()
    assert ">finished<" in page_of(tmp_path) and "100.0%" in page_of(tmp_path)


def test_curves_options_and_hostile_text(tmp_path):
    lines, page = JsonLines(), HtmlPage()
    lines.start(run_info(tmp_path))
    for step in range(1, 11):
        lines.losses(Position(1, step, step, step), {"G_GAN": 1.0 / step, "D<i>": float("nan")}, TIMES)
    page.start(run_info(tmp_path))
    text = page_of(tmp_path)
    assert text.count('<svg class="curve"') == 1, "a loss without any finite value has no curve"
    assert "<script>" not in text and "<b>demo" not in text and "D<i>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert text.index("--dataroot") < text.index("--lr"), "options that were given come first"
    assert "http://" not in text and "https://" not in text, "nothing is fetched from elsewhere"


def test_images_later_than_the_checkpoint_are_not_shown(tmp_path):
    page = HtmlPage()
    page.start(run_info(tmp_path))
    page.visuals(Position(3, 1, 21, 21), PICTURES, save=True)
    resumed = HtmlPage()
    resumed.start(run_info(tmp_path, start=Position(2, 0, 10, 10)))
    assert "epoch003" not in page_of(tmp_path)
    assert not list((tmp_path / "web" / "images").glob("epoch003*")), "nor do they come back with epoch 3"


def test_a_resume_within_an_epoch_keeps_its_row(tmp_path):
    page, start = HtmlPage(), Position(2, 4, 14, 14)
    page.start(run_info(tmp_path))
    page.visuals(Position(2, 3, 13, 13), {"fake": np.full((2, 2), 1, np.uint8)}, save=True)
    resumed = HtmlPage()
    resumed.start(run_info(tmp_path, start=start))
    resumed.visuals(start.after(1), {"fake": np.full((2, 2), 2, np.uint8)}, save=False)
    assert np.asarray(Image.open(tmp_path / "web/images/epoch002_fake.png"))[0, 0] == 1
    again = HtmlPage()
    again.start(run_info(tmp_path, start=Position(2, 0, 10, 10)))
    assert not list((tmp_path / "web" / "images").glob("epoch002*")), "nothing of this epoch has been done"


def test_pictures_of_the_val_split_stand_behind_those_of_the_training(tmp_path):
    page = HtmlPage()
    page.start(run_info(tmp_path))
    page.visuals(Position(1, 5, 5, 5), PICTURES, save=True)
    page.visuals(Position(1, 10, 10, 10), {"val_fake_B": PICTURES["fake_B"]}, save=True)
    text = page_of(tmp_path)
    places = [text.index(f"epoch001_{label}.png") for label in ("real_A", "fake_B", "val_fake_B")]
    assert places == sorted(places)


def test_a_training_that_ended_early_is_finished_too(tmp_path):
    page = HtmlPage()
    page.start(run_info(tmp_path))
    page.epoch_end(Position(1, 10, 10, 10))
    page.finished()
    page.close()
    assert ">finished<" in page_of(tmp_path)


def test_history_reads_on_and_waits_for_complete_lines(tmp_path):
    path = tmp_path / "losses.jsonl"
    path.write_text('{"total_iters": 1, "losses": {"G": 1.0}}\n{"total_iters": 2, "lo')
    history = LossHistory(path)
    history.update()
    assert history.values == {"G": ([1], [1.0])}
    with path.open("a") as file:
        file.write('sses": {"G": 2.0}}\n')
    history.update()
    assert history.values == {"G": ([1, 2], [1.0, 2.0])}


@pytest.mark.parametrize(
    "values", [[0.0], [5.0] * 7, [1e-9, 1e9, -3.0], list(np.random.default_rng(0).normal(size=5000))]
)
def test_curves_stay_inside_their_frame(values):
    svg = svg_curve(range(len(values)), values, "epoch")
    points = re.search(r'<polyline class="mean" points="([^"]+)"', svg)[1].split()
    xy = np.array([[float(number) for number in point.split(",")] for point in points])
    assert 1 <= len(xy) <= 90
    assert xy[:, 0].min() >= 0 and xy[:, 0].max() <= 360 and xy[:, 1].min() >= 0 and xy[:, 1].max() <= 150


def test_a_falling_loss_is_drawn_falling():
    points = re.search(r'class="mean" points="([^"]+)"', svg_curve([1, 2, 3], [3.0, 2.0, 1.0], "epoch"))[1].split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights) and heights[0] < heights[-1]
