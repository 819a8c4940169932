"""The figures that decide about an exported file, and the table that shows them."""

from __future__ import annotations

import json
import math
import pathlib
import time

import pytest
import torch

from inference.export.measure import Times, compare, median_times, trial_images, trial_sizes
from inference.export.table import Row, format_table, write_report


def test_psnr_is_of_all_pixels_together() -> None:
    black, grey = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 0.1)
    assert compare([black], [grey]) == (pytest.approx(0.1), pytest.approx(20))
    error, psnr = compare([black, black], [black, grey])
    assert (error, psnr) == (pytest.approx(0.1), pytest.approx(20 + 10 * math.log10(2)))
    assert compare([grey], [grey]) == (0, math.inf)


def test_not_a_number_never_passes() -> None:
    image = torch.zeros(1, 1, 2, 2)
    assert compare([image], [image / 0]) == (math.inf, -math.inf)


@pytest.mark.parametrize("multiple", [1, 4, 128, 256])
def test_trials_are_a_fitting_size_a_batch_and_an_odd_size(multiple: int) -> None:
    first, second, third = trial_sizes(multiple, 250)
    assert first[1] % multiple == first[2] % multiple == second[1] % multiple == second[2] % multiple == 0
    assert second[0] == 2 and second[1] != second[2]
    assert third[1] % 2 == 1 and third[2] % 2 == 1 or multiple == 1
    for image, size in zip(trial_images(3, multiple, 30), trial_sizes(multiple, 30), strict=True):
        assert (image.shape[0], *image.shape[2:]) == size
        assert 0 <= image.min() < 0.2 < 0.8 < image.max() <= 1
    assert torch.equal(trial_images(3, multiple, 30)[0], trial_images(3, multiple, 30)[0])


def test_times_are_medians_of_the_wall_and_the_processor() -> None:
    calls = []

    def sleepy(image: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        time.sleep(0.02)
        return image

    times = median_times({"sleepy": sleepy, "idle": lambda image: image}, torch.zeros(1))
    assert len(calls) == 8
    assert times["sleepy"].wall >= 20 > times["sleepy"].processor
    median_times({"sleepy": sleepy}, torch.zeros(1), patience=0)
    assert len(calls) == 8 + 4, "three rounds at least, and no more without patience"


def test_table_and_json(tmp_path: pathlib.Path) -> None:
    run = Row("PyTorch", "fp32", "the run", 31.4).timed(Times(100, 90), Times(100, 90))
    same = Row("safetensors", "fp32", "a.safetensors", 31.4, 0.0, math.inf)
    small = Row("onnx", "int8", "a_int8.onnx", 9.1, 0.03, 47.04).timed(Times(50, 40), Times(100, 90))
    lines = format_table([run, same, small], ["a note"]).splitlines()
    assert len({len(line) for line in lines[:5]}) == 1 and lines[5] == "a note"
    cells = [cell.strip() for cell in lines[4].split("|")[1:-1]]
    assert cells == ["onnx", "int8", "a_int8.onnx", "9.1", "3.0e-02", "47.0", "50", "40", "2.00x"]
    write_report(tmp_path / "report.json", [run, same, small], {"threads": 1})
    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert report["threads"] == 1
    assert [row["identical"] for row in report["files"]] == [False, True, False]
    assert report["files"][1]["psnr"] is None and report["files"][2]["speedup"] == 2
