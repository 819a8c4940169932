"""The loading benchmark compares like with like and writes what it measured."""

from __future__ import annotations

import pathlib

import pytest
import torch

from benchmarks import data as benchmark
from benchmarks.page import PAGE, publish, replace_section, table
from benchmarks.textbook_loader import TextbookCrops, TextbookPairs

TINY = benchmark.Sizes(pairs=4, large=2, height=300, width=320, rounds=2, seconds=0.01)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("benchmark")
    benchmark.make_images(root, TINY)
    return root


def test_both_loaders_make_the_same_kind_of_batch(images: pathlib.Path) -> None:
    ours = next(iter(benchmark.ours("aligned", images / "pairs", "resize_and_crop", images / "c")(1)))
    plain = next(iter(benchmark.textbook(TextbookPairs(images / "pairs/train"))(1)))
    for side in "AB":
        assert ours[side].shape == plain[side].shape == (4, 3, 256, 256)
        assert ours[side].dtype == plain[side].dtype == torch.float32
        assert ours[side].min() >= -1 and plain[side].min() >= -1
        assert abs(ours[side].mean() - plain[side].mean()) < 0.2
    assert len(TextbookCrops(images / "png")) == 2


def test_the_textbook_transforms_are_ours(images: pathlib.Path) -> None:
    """With a crop of the whole image chance plays no part but mirroring."""
    dataset = TextbookPairs(images / "pairs/train", 256, 256)
    ours = next(iter(benchmark.ours("aligned", images / "pairs", "none", "off")(1)))
    plain = dataset[int(ours["names"][0])]["A"]
    first = ours["A"][0]
    assert min((plain - first).abs().max(), (plain - first.flip(-1)).abs().max()) < 1e-6


def test_rates_become_a_table_with_ratios(images: pathlib.Path) -> None:
    section = benchmark.compare(images, TINY)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 5 + 3 + 3 and all(line.count("|") == 6 for line in lines)
    assert lines[2].endswith("| 1.0x |") and "python -m benchmarks.data --write" in section
    rates = {"plain": [2.0, 4.0, 3.0], "ours": [400.0, 400.0, 900.0]}
    assert benchmark.rows("w", rates)[1] == ["w", "ours", "400", "400 to 900", "200x"]


def test_a_section_replaces_what_was_between_its_markers() -> None:
    page = "# P\n<!-- x: begin -->\nold\n<!-- x: end -->\nrest\n"
    assert replace_section(page, "x", "new") == "# P\n<!-- x: begin -->\nnew\n<!-- x: end -->\nrest\n"
    assert replace_section(PAGE.read_text(encoding="utf-8"), "data", "new").count("new") >= 1
    with pytest.raises(ValueError, match="no section between <!-- y: begin -->"):
        replace_section(page, "y", "new")
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_section_is_printed_and_written_only_when_asked(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- x: begin -->\nold\n<!-- x: end -->\n")
    publish("x", "new", write=False, page=page)
    assert "old" in page.read_text()
    publish("x", "new", write=True, page=page)
    assert page.read_text() == "<!-- x: begin -->\nnew\n<!-- x: end -->\n"
    assert capsys.readouterr().out == "new\n" * 2
