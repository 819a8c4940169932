"""compare.py --leaderboard: order, what is lacking or cannot be compared, and the three forms of the table."""

from __future__ import annotations

import csv
import json
import pathlib
import sys

import pytest

import a2b
import compare
from commands.leaderboard import find_entries
from evaluation.leaderboard import Entry, Leaderboard, format_leaderboard
from evaluation.metrics import MetricTable
from models.files import save_networks
from util.errors import UserError


def make_run(folder: pathlib.Path, ngf: int) -> int:
    """Write what a training leaves, and return the number of its generator's weights."""
    folder.mkdir(parents=True)
    network = a2b.build_generator("resnet_6blocks", ngf=ngf, norm="batch")
    save_networks({"G": network, "D": network}, folder, "latest")
    flags = {"model": "pix2pix", "netG": "resnet_6blocks"}
    (folder / "options.json").write_text(json.dumps({name: {"value": value} for name, value in flags.items()}))
    steps = [{"epoch": n, "total_iters": 50 * n, "time": 0.5 * n, "losses": {"G_L1": 1.0}} for n in (1, 2, 3)]
    steps.append({"epoch": 3, "total_iters": 150, "time": 99.0, "losses": {"val_psnr": 20.0}})
    (folder / "losses.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    return sum(p.numel() for p in network.parameters())


def measure(folder: pathlib.Path, rmse: float) -> None:
    table = MetricTable()
    for number in range(4):
        table.add(str(number), {"psnr": 30 - rmse, "rmse": rmse + number / 10})
    table.write(folder)


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    counts = [make_run(tmp_path / "runs" / name, ngf) for name, ngf in (("large", 4), ("small", 2), ("new", 2))]
    assert counts[0] > counts[1] == counts[2]
    for name, rmse in (("large", 9.0), ("small", 11.0), ("large,small", 10.0)):
        measure(tmp_path / "results" / name / "test_latest", rmse)
    best = {"epoch": 2, "step": 3, "metric": "psnr", "value": 27.0, "averaged": False}
    (tmp_path / "runs" / "new" / "best.json").write_text(json.dumps(best))
    return tmp_path


def test_runs_ensembles_and_validations_become_entries(place: pathlib.Path) -> None:
    entries = {entry.run: entry for entry in find_entries(place / "runs", place / "results")}
    large, both, new = (entries[name] for name in ("large", "large,small", "new"))
    assert (large.model, large.network, large.epochs, large.images) == ("pix2pix", "resnet_6blocks", 3, 4)
    assert large.training == "2 min 30 s", "150 images of a second; the time of validations is left out"
    assert both.parameters == large.parameters + entries["small"].parameters and both.training == "5 min 0 s"
    assert (new.measured, new.mean) == ("val, best", {"psnr": 27.0})


def test_a_soup_is_one_network(place: pathlib.Path) -> None:
    measure(place / "results/small,new/test_latest_weights", 8.0)
    measure(place / "results/small,new/test_latest_mean", 8.0)
    found = {(e.run, e.measured): e.parameters for e in find_entries(place / "runs", place / "results")}
    one = found["small", "test_latest"]
    assert found["small,new", "test_latest_weights"] == one and found["small,new", "test_latest_mean"] == 2 * one


def test_the_parameters_are_those_of_the_generators_alone(place: pathlib.Path) -> None:
    (entry,) = (e for e in find_entries(place / "runs", place / "results") if e.run == "large")
    network = a2b.build_generator("resnet_6blocks", ngf=4, norm="batch")
    assert entry.parameters == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("metric", "order"), [("rmse", ["a", "b", "c"]), ("psnr", ["c", "b", "a"])])
def test_lower_is_better_where_it_is(metric: str, order: list[str]) -> None:
    entries = [Entry(name, "test", {metric: value}) for name, value in (("c", 3.0), ("a", 1.0), ("b", 2.0))]
    assert [entry.run for entry in Leaderboard.of(entries, metric).entries] == order


def test_what_cannot_be_compared_is_said() -> None:
    one = Entry("one", "test", {"lpips": 0.1}, images=8, measured_by={"lpips": "alex"})
    two = Entry("two", "test", {"lpips": 0.2}, images=9, measured_by={"lpips": "vgg"})
    text = format_leaderboard(Leaderboard.of([one, two, Entry("three", "", {})], "lpips"))
    assert "LPIPS was measured by alex and vgg, which cannot be compared" in text
    assert "not all were measured on the same images (8, 9 images)" in text and "without LPIPS: three" in text


def run(monkeypatch: pytest.MonkeyPatch, place: pathlib.Path, *words: str) -> None:
    folders = ["--checkpoints_dir", str(place / "runs"), "--results_dir", str(place / "results")]
    monkeypatch.setattr(sys, "argv", ["compare.py", "--leaderboard", *folders, *words])
    compare.main()


def test_text_page_and_csv_hold_the_same_order(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, place, "--metric", "rmse")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["large", "large,small", "small"]
    assert "9.151 (9.0" in lines[1] and "without RMSE: new" in lines[4]
    page = (place / "results/leaderboard/index.html").read_text()
    assert page.index(">large<") < page.index(">large,small<") < page.index(">small<")
    rows = list(csv.DictReader((place / "results/leaderboard/leaderboard.csv").open()))
    assert [row["run"] for row in rows] == ["large", "large,small", "small"]
    assert float(rows[0]["rmse_low"]) < float(rows[0]["rmse"]) < float(rows[0]["rmse_high"])


def test_mistakes_are_one_line(place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--metric rsme: no run has it \(there are psnr, rmse\)"):
        run(monkeypatch, place, "--metric", "rsme")
    with pytest.raises(UserError, match="no runs; see --checkpoints_dir"):
        run(monkeypatch, place / "nowhere")
    with pytest.raises(UserError, match="--leaderboard takes no folders"):
        run(monkeypatch, place, "results/x")
    (place / "file").touch()
    with pytest.raises(UserError, match="file: cannot be written to .* name another --out"):
        run(monkeypatch, place, "--out", str(place / "file"))
    (place / "results/small/test_latest/metrics.json").write_text("[]")
    with pytest.raises(UserError, match=r"metrics\.json: damaged"):
        run(monkeypatch, place)
