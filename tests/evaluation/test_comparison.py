"""compare.py: paired differences, what must not be compared, and a page whose links lead somewhere."""

from __future__ import annotations

import pathlib
import re
import sys
from urllib.parse import unquote

import numpy as np
import pytest

import compare
from commands.result_log import Finished, ResultLog
from data.writers import write_image
from evaluation.comparison import Test, best, comparable, difference, over_shared, read_tests
from evaluation.metrics import MetricTable
from util.errors import UserError


def results(folder: pathlib.Path, better: float = 0.0, lpips: str = "squeeze (a.pth)", count: int = 8) -> pathlib.Path:
    """Write what test.py writes for ``count`` images; PSNR differs much between images, little between runs."""
    random, table, log = np.random.default_rng(4), MetricTable(), ResultLog(folder, resume=False)
    for number in range(count):
        files = {label: f"images/sub/{number}_{label}.png" for label in ("real_A", "fake_B", "real_B")}
        for path in files.values():
            write_image(folder / path, np.full((4, 4, 3), number, np.uint8))
        row = {"psnr": 15 + 10 * random.random() + better * (1 + 0.1 * random.random()), "lpips": 0.3}
        table.add(f"sub/{number}", row)
        log.add(Finished(f"sub/{number}", files, row))
    table.measured_by["lpips"] = lpips
    table.write(folder)
    log.close()
    return folder


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, words)])
    compare.main()


def test_a_small_but_steady_difference_is_certain_although_the_intervals_overlap(tmp_path: pathlib.Path) -> None:
    first, second = read_tests([results(tmp_path / n / "test_latest", by) for n, by in (("one", 0.0), ("two", 0.5))])
    assert (first.name, second.name) == ("one", "two")
    assert first.intervals["psnr"][1] > second.intervals["psnr"][0]
    found = difference(second, first, "psnr")
    assert found is not None and found.certain and 0.5 <= found.low <= found.value <= found.high <= 0.55
    assert found.images == 8 and best([first, second], "psnr") == second.mean["psnr"]
    equal = difference(first, first, "psnr")
    assert equal is not None and not equal.certain


def test_the_difference_of_rmse_is_that_of_the_tables_roots_of_mean_squares() -> None:
    scores = {"one": (1.0, 2.0, 7.0), "two": (3.0, 3.0, 3.0)}
    one, two = (
        Test(name, pathlib.Path(), {}, {}, {str(n): {"rmse": x} for n, x in enumerate(values)}, {})
        for name, values in scores.items()
    )
    found, back = difference(one, two, "rmse"), difference(two, one, "rmse")
    assert found is not None and back is not None
    assert found.value == pytest.approx(18**0.5 - 3) and found.value > 0, "the mean of 1, 2 and 7 is only 3.33"
    assert (found.low, found.high) == pytest.approx((1 - 3, 7 - 3)), "all draws of the best and of the worst image"
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low)) and back.value == -found.value


def test_figures_of_different_networks_are_not_compared(tmp_path: pathlib.Path) -> None:
    folders = [results(tmp_path / "one/test", lpips="alex (a.pth)"), results(tmp_path / "two/test")]
    metrics, refused = comparable(read_tests(folders))
    assert metrics == ["psnr"] and refused == [
        "lpips: measured by alex (a.pth) and squeeze (a.pth), which cannot be compared"
    ]


def test_means_are_over_the_images_that_all_have(tmp_path: pathlib.Path) -> None:
    long, short = read_tests([results(tmp_path / "long/test"), results(tmp_path / "short/test", count=5)])
    cut, same = over_shared([long, short])
    assert cut.mean["psnr"] == pytest.approx(short.mean["psnr"]) != long.mean["psnr"]
    assert same is short and cut.intervals["psnr"] == short.intervals["psnr"] and len(cut.files) == 5


def test_the_page_shows_all_runs_and_links_to_their_files(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = results(tmp_path / "results/one/test_5"), results(tmp_path / "results/one/test_best", 1.0, count=5)
    write_image(two / "previews/sub/0_fake_B.png.png", np.zeros((4, 4, 3), np.uint8))
    run(monkeypatch, one, two, "--out", tmp_path / "results/both")
    page = (tmp_path / "results/both/index.html").read_text()
    links = [unquote(link) for link in re.findall(r'(?:src|href)="([^"]+)"', page)]
    assert len(links) == 2 * 5 * 4, "input, two results and target of the five images in common"
    assert all((tmp_path / "results/both" / link).is_file() for link in links)
    assert any("previews" in link for link in links)
    assert "difference to one/test_5" in page and "5 images in common" in page
    printed = capsys.readouterr().out
    assert re.search(r"one/test_best +PSNR [\d.]+ \([\d.]+ to [\d.]+\)", printed) and "page: " in printed


def test_mistakes_are_one_line(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = results(tmp_path / "one/test")
    other = tmp_path / "other/test"
    for words, message in (
        ([one], "two or more"),
        ([one, one], "given twice"),
        ([one, tmp_path], "no results of test.py"),
        ([one, "--ot", "x"], "unknown argument --ot"),
    ):
        with pytest.raises(UserError, match=message):
            run(monkeypatch, *words)
    log = ResultLog(other, resume=False)
    log.add(Finished("elsewhere", {"fake": "images/a.png"}))
    log.close()
    with pytest.raises(UserError, match="no image in common"):
        run(monkeypatch, one, other, "--out", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: cannot be written to .* name another --out"):
        run(monkeypatch, one, results(tmp_path / "two/test"), "--out", tmp_path / "file")
    (other / "metrics.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        run(monkeypatch, one, other)
