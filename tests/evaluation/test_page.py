"""The results page as a browser reads it: rows, labels, metrics, links and previews."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from data.writers import preview, write_image
from evaluation.metrics import MetricTable
from evaluation.page import ROWS_PER_PAGE, ResultsPage


class Parsed(HTMLParser):
    """Tags with their attributes, and the visible text."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, attribute: str) -> list[str]:
        return [str(attrs[attribute]) for name, attrs in self.tags if name == tag and attribute in attrs]


def links(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return every file that any page of the folder refers to."""
    pages = [Parsed(path) for path in folder.glob("*.html")]
    found = [link for page in pages for link in page.all("a", "href") + page.all("img", "src")]
    return [folder / unquote(link) for link in found]


def image(value: int, dtype: str = "uint8", channels: int = 3) -> np.ndarray:
    return np.full((9, 12, channels), value, dtype)


def add(page: ResultsPage, name: str, images: dict[str, np.ndarray], **metrics: float) -> None:
    files = {label: page.folder / "images" / f"{name}_{label}.png" for label in images}
    for label, values in images.items():
        write_image(files[label], values)
    page.add(name, files, {label: preview(values) for label, values in images.items()}, metrics)


@pytest.fixture
def page(tmp_path: pathlib.Path) -> ResultsPage:
    return ResultsPage(tmp_path / "out", "run: test", 200, {"netG": "unet_256"}, {"netG": "command line"})


def test_every_row_label_and_metric_is_there(page: ResultsPage) -> None:
    for name in ("one", "two"):
        add(page, name, {"real_A": image(1), "fake_B": image(2)}, psnr=12.345, rmse=0.5)
    table = MetricTable()
    table.add("one", {"psnr": 12.345, "rmse": 0.5})
    table.add_baseline("mean map", {"rmse": 7.25})
    page.finish(table)
    parsed = Parsed(page.folder / "index.html")
    assert [tag for tag, _ in parsed.tags].count("section") == 2
    assert parsed.all("img", "alt") == ["real_A", "fake_B"] * 2
    assert set(parsed.all("img", "width")) == {"200"}
    for text in ("one", "two", "12.35", "mean map", "7.25", "--netG", "unet_256", "run: test"):
        assert text in parsed.text
    assert all(path.is_file() for path in links(page.folder))


def test_hostile_names_stay_text(page: ResultsPage) -> None:
    name = "\"><script>alert(1)</script>&amp; #%41?'é"
    add(page, name.replace("/", "|"), {"fake": image(3)})
    page.finish()
    parsed = Parsed(page.folder / "index.html")
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert name.replace("/", "|") in parsed.text
    assert links(page.folder) and all(path.is_file() for path in links(page.folder))


def test_equal_names_in_different_folders_do_not_collide(page: ResultsPage) -> None:
    for value, name in ((10, "a/x"), (20, "b/x")):
        add(page, name, {"fake": image(value * 256, "uint16")})
    page.finish()
    shown = [page.folder / unquote(source) for source in Parsed(page.folder / "index.html").all("img", "src")]
    assert len(set(shown)) == 2
    assert [path.parent.name for path in shown] == ["a", "b"]


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_images_have_8_bit_previews(page: ResultsPage, channels: int) -> None:
    ramp = np.linspace(0, 4095, 9 * 12 * channels).reshape(9, 12, channels).astype(np.uint16)
    add(page, "deep", {"fake": ramp})
    page.finish()
    parsed = Parsed(page.folder / "index.html")
    (shown,) = (page.folder / unquote(source) for source in parsed.all("img", "src"))
    assert shown.parent.name == "previews"
    assert shown.read_bytes()[24] == 8, "the bit depth in the header of a PNG"
    with Image.open(shown) as picture:
        assert picture.size == (12, 9)
        assert np.asarray(picture).max() == 255
    assert page.folder / "images" / "deep_fake.png" in links(page.folder)


def test_plain_images_need_no_preview(page: ResultsPage) -> None:
    add(page, "plain", {"real": image(3), "fake": image(4, channels=1)})
    page.finish()
    assert not (page.folder / "previews").exists()


def test_many_images_are_paged_and_all_links_resolve(page: ResultsPage) -> None:
    count = 2 * ROWS_PER_PAGE + 1
    path = page.folder / "images" / "x_fake.png"
    write_image(path, image(1))
    for number in range(count):
        page.add(f"image {number}", {"fake": path}, {"fake": image(1)}, {})
    page.finish()
    pages = [Parsed(page.folder / name) for name in ("index.html", "page_2.html", "page_3.html")]
    assert [len(p.all("img", "src")) for p in pages] == [ROWS_PER_PAGE, ROWS_PER_PAGE, 1]
    assert set(pages[1].all("a", "href")) >= {"index.html", "page_3.html"}
    assert all(file.is_file() for file in links(page.folder))


def test_pages_of_an_earlier_longer_test_go(page: ResultsPage) -> None:
    page.folder.mkdir()
    (page.folder / "page_2.html").write_text("old")
    add(page, "x", {"fake": image(1)})
    page.finish()
    assert not (page.folder / "page_2.html").exists()


def test_rows_are_on_the_page_before_the_end(page: ResultsPage) -> None:
    add(page, "first", {"fake": image(1)})
    assert "first" in Parsed(page.folder / "index.html").text


def test_a_page_without_images_is_still_a_page(page: ResultsPage) -> None:
    page.finish(MetricTable())
    assert "0 images" in Parsed(page.folder / "index.html").text


def test_rows_are_written_again_every_few_seconds(page: ResultsPage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10_000, 2))
    monkeypatch.setattr("evaluation.page.time.monotonic", lambda: float(next(clock)))
    for number in range(9):
        add(page, f"row {number}", {"fake": image(1)})
    sections = [tag for tag, _ in Parsed(page.folder / "index.html").tags if tag == "section"]
    assert len(sections) >= 8, "Ctrl-C would lose one row at most"


def test_float_tiff_has_a_preview(page: ResultsPage) -> None:
    path = page.folder / "images" / "depth_fake.tif"
    values = np.linspace(-3, 7, 64, dtype=np.float32).reshape(8, 8)
    write_image(path, values)
    page.add("depth", {"fake": path}, {"fake": preview(values)})
    page.finish()
    (source,) = Parsed(page.folder / "index.html").all("img", "src")
    assert source == "previews/depth_fake.tif.png"
    assert np.array_equal(np.asarray(Image.open(page.folder / source)), preview(values))


def test_very_large_images_are_shown_smaller(page: ResultsPage) -> None:
    add(page, "huge", {"fake": np.zeros((1500, 30), np.uint8)})
    page.finish()
    (source,) = Parsed(page.folder / "index.html").all("img", "src")
    with Image.open(page.folder / source) as shown:
        assert shown.height == 1024


def test_names_that_are_no_unicode_are_linked(page: ResultsPage) -> None:
    add(page, "bad\udcff", {"fake": image(1)})
    page.finish()
    parsed = Parsed(page.folder / "index.html")
    (source,) = parsed.all("img", "src")
    assert source == "images/bad%FF_fake.png" and "bad\\udcff" in parsed.text


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: requirements-dev.txt")
    if CHROMIUM is None:
        pytest.skip("there is no chromium; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()


def test_six_images_stand_in_one_line_and_few_keep_their_size(page: ResultsPage, browser: Any) -> None:
    add(page, "six", {f"image_{number}": image(number) for number in range(6)})
    add(page, "three", {f"image_{number}": image(number) for number in range(3)})
    page.finish()

    def boxes(row: int, width: int) -> list[dict[str, float]]:
        view = browser.new_page(viewport={"width": width, "height": 800})
        view.goto((page.folder / "index.html").as_uri())
        return [figure.bounding_box() for figure in view.query_selector_all(f"#row{row} figure")]

    six = boxes(1, 1200)
    assert len(six) == 6 and len({box["y"] for box in six}) == 1
    assert {box["width"] for box in boxes(2, 1200)} == {200}, "the width that was asked for"
    narrow = boxes(1, 400)
    assert len({box["y"] for box in narrow}) == 3 and min(box["width"] for box in narrow) >= 140, "two side by side"
