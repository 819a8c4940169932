"""The page in a real browser: upload, translate, compare, download; nothing comes from elsewhere."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import a2b
from tests.inference.server.conftest import Server, from_png, pixels, png

pytest.importorskip("gradio", reason="the page's library is not installed: requirements-serve.txt")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: requirements-dev.txt")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MILLISECONDS = 90_000
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]  # tests may run as root, in a small container
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(serve: Callable[..., Server]) -> Server:
    return serve("--name", "colour,grey,filler", "--token", "a-token", "--max_pixels", "5000", "--precision", "fp32")


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(MILLISECONDS)
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(f"{server.url}?token=a-token")
    yield page
    page.close()


def upload(page: Any, values: np.ndarray, folder: pathlib.Path, name: str, where: str = "image") -> None:
    (folder / name).write_bytes(png(values))
    page.set_input_files(f"#{where} input[type=file]", folder / name)


def choose(page: Any, dropdown: str, choice: str) -> None:
    page.click(f"#{dropdown} input")
    page.get_by_role("option", name=choice, exact=True).click()


def downloaded(page: Any, panel: str) -> np.ndarray:
    with page.expect_download() as waiting:
        page.click(f"#{panel}_download")
    return from_png(pathlib.Path(waiting.value.path()).read_bytes())


def test_upload_translate_download(server: Server, page: Any, runs_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    image = pixels(60, 80, dtype="uint16")
    assert page.locator("#translate").is_disabled()
    upload(page, image, tmp_path, "deep.png")
    page.wait_for_selector("#original img")
    assert not page.locator("#brush canvas, #mask").count(), "no brush for runs that fill no holes"
    choose(page, "other", "grey")
    page.click("#translate:not([disabled])")
    page.wait_for_selector("#second_slider img")
    for panel, run in (("first", "colour"), ("second", "grey")):
        expected = a2b.load(runs_dir / run, gpu_ids="-1")(image)
        result = downloaded(page, panel)
        assert result.dtype == np.uint16, "16 bits in, 16 bits out"
        assert np.array_equal(result, expected), f"{run}: the download is what a2b.load gives"
    assert page.locator("#first_slider img").count() >= 2, "before and after"
    assert "80 x 60, colour, 16 bit" in page.inner_text("#report")
    elsewhere = [url for url in page.asked if not url.startswith((server.url, "data:", "blob:"))]
    assert page.asked and elsewhere == []


def test_measure_against_a_reference(page: Any, tmp_path: pathlib.Path) -> None:
    page.get_by_text("Measure against a reference").click()
    upload(page, pixels(), tmp_path, "in.png")
    upload(page, pixels(), tmp_path, "truth.png", "reference")
    page.wait_for_selector("#original img")
    page.wait_for_selector("#reference :text('truth')")
    page.click("#translate:not([disabled])")
    page.get_by_text("input unchanged").wait_for()
    report = page.inner_text("#report")
    assert "PSNR" in report and "SSIM" in report and "inf" in report, "the input is the reference here"


def test_a_bad_file_is_said_in_one_line(page: Any, tmp_path: pathlib.Path) -> None:
    upload(page, pixels(100, 100), tmp_path, "large.png")
    page.get_by_text("large.png: 100x100x1 is more than 5000 pixels").wait_for()
    assert page.locator("#translate").is_disabled()


def paint(page: Any, *places: tuple[float, float]) -> None:
    """Draw a line over the canvas through places in fractions of its width and height."""
    frame = page.locator("#brush canvas").bounding_box()
    for number, (x, y) in enumerate(places):
        page.mouse.move(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"], steps=4)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def test_paint_a_hole_or_give_its_mask(
    server: Server, page: Any, runs_dir: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    image = pixels(60, 80)
    choose(page, "run", "filler")
    upload(page, image, tmp_path, "photo.png")
    page.wait_for_selector("#brush canvas")
    page.click("#translate:not([disabled])")
    page.get_by_text("where is the hole").wait_for()
    paint(page, (0.1, 0.1), (0.2, 0.9))
    page.click("#brush .clear")
    page.locator("#brush .size").fill("12.4")
    paint(page, (0.3, 0.5), (0.7, 0.5))
    page.click("#translate:not([disabled])")
    page.wait_for_selector("#first_slider img")
    result = downloaded(page, "first")
    rows, columns = np.nonzero((result != image).any(2))
    assert (rows.min() > 20, rows.max() < 40, columns.min() > 14, columns.max() < 66) == (True,) * 4, "a line is filled"
    assert len(rows) > 200 and np.ptp(columns) > 35
    hole = np.zeros((60, 80), bool)
    hole[5:25, 30:50] = True
    upload(page, hole[..., None].astype(np.uint8) * 255, tmp_path, "mask.png", "mask")
    page.wait_for_selector("#mask :text('mask')")
    page.click("#image button[aria-label='Clear']")
    upload(page, image, tmp_path, "again.png")
    page.click("#translate:not([disabled])")
    page.wait_for_selector("#first_download:has-text('again')")
    expected = a2b.load(runs_dir / "filler", gpu_ids="-1")(image, hole)
    assert np.array_equal(downloaded(page, "first"), expected)
