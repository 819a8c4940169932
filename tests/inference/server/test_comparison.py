"""What the page shows: pictures, progress, metrics, classes."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from data.value_range import ValueRange
from evaluation.metrics import evaluate_pair
from inference.server.comparison import follow, metric_table, picture
from inference.server.refusal import Refused
from inference.server.service import Service
from tests.inference.server.conftest import pixels, png


def test_pictures_fit_a_browser_and_keep_their_shape() -> None:
    shown = picture(np.zeros((10, 5000, 1), np.uint16), ValueRange(0, 65535))
    assert (shown.shape, shown.dtype) == ((4, 2048, 3), np.uint8)
    small = pixels(20, 30)
    assert np.array_equal(picture(small, ValueRange(0, 255)), small), "8-bit values are shown as they are"


def test_the_range_of_the_run_is_black_to_white() -> None:
    values = np.array([[[1000], [2000], [3000]]], np.uint16)
    assert picture(values, ValueRange(1000, 3000))[0, :, 0].tolist() == [0, 128, 255]


def test_waiting_is_told_and_a_refusal_raised(make_service: Callable[..., Service]) -> None:
    service, told = make_service(), list[tuple[float, str]]()
    good, cut = png(pixels(400, 400)), png(pixels())[:-40]
    jobs = [service.submit("colour", [(io.BytesIO(content), "a.png")], "me") for content in (good, good, cut)]
    follow(service, jobs[1], lambda done, text: told.append((done, text)))
    assert all(0 <= done < 1 for done, _ in told)  # nothing is told of a job that is done before it is looked at
    assert all("before this one" in text or text.startswith(("next", "colour: ")) for _, text in told)
    with pytest.raises(Refused, match="not a readable image"):
        follow(service, jobs[2], lambda done, text: None)


def test_metrics_are_a_table() -> None:
    table = metric_table({"run": {"psnr": 20.123, "ssim": 0.5}, "input unchanged": {"psnr": float("inf")}})
    assert table.splitlines() == [
        *("|  | PSNR | SSIM |", "| --- | --- | --- |", "| run | 20.12 | 0.5000 |", "| input unchanged | inf | - |")
    ]


def _zebra(values: np.ndarray, value_range: ValueRange | None = None, top: int = 3) -> dict[str, float]:
    return {"zebra": float(values.mean()) / 255}


@pytest.fixture
def actions(make_service: Callable[..., Service]) -> Any:
    pytest.importorskip("gradio", reason="the page's library is not installed: requirements-serve.txt")
    from inference.server.page_actions import Actions

    service = make_service()
    service.classifier = _zebra
    return Actions(service)


def translate(
    actions: Any, file: pathlib.Path, reference: pathlib.Path | None = None, other: str = "grey"
) -> list[Any]:
    visitor = SimpleNamespace(client=None, session_hash="x")
    reference_name = None if reference is None else str(reference)
    chosen = ("", None, str(file), "colour", other, True, reference_name)
    return actions.translate(*chosen, visitor, lambda done, desc: None)


def test_two_runs_side_by_side_with_everything(actions: Any, tmp_path: pathlib.Path) -> None:
    file, truth = tmp_path / "in.png", tmp_path / "truth.png"
    file.write_bytes(png(pixels()))
    truth.write_bytes(png(pixels(seed=1)))
    _, _, *panels, report = translate(actions, file, truth, other="colour")
    assert [update["visible"] for update in panels[::3]] == [True, False], "one run is not shown twice"
    download = pathlib.Path(panels[2]["value"])
    assert download.name == "in_colour.png" and download.is_file()
    expected = evaluate_pair(np.asarray(panels[1]["value"][1]), pixels(seed=1))
    assert f"| colour | {expected['psnr']:.2f} | {expected['ssim']:.4f} |" in report
    assert "| input | zebra" in report and "colour**: 52 x 40, colour, 8 bit" in report


def test_what_cannot_be_measured_is_said(actions: Any, tmp_path: pathlib.Path) -> None:
    import gradio

    file, truth = tmp_path / "in.png", tmp_path / "truth.png"
    file.write_bytes(png(pixels()))
    for values, message in ((pixels(20, 20), "20x20"), (pixels(dtype="uint16"), "16 bit and .* colour 8 bit")):
        truth.write_bytes(png(values))
        with pytest.raises(gradio.Error, match=message):
            translate(actions, file, truth)
