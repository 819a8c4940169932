"""The benchmark of growing images and batches measures both loops apart, and tells what it found."""

from __future__ import annotations

import pytest

from benchmarks import growth, textbook_training
from benchmarks.training import Work

TINY = Work(textbook_training.cycle_gan, "resnet_6blocks", ("--model", "cycle_gan"), batch=1, size=32)


@pytest.mark.parametrize("loop", growth.LOOPS)
def test_a_step_takes_time_and_memory(loop: str) -> None:
    seconds, gigabytes = growth.measure(TINY, loop, ["--precision", "fp32"])
    assert 0 < seconds < 60
    assert 0.1 < gigabytes < 64


def test_a_measurement_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(command: list[str], **how: object) -> object:
        asked.append(command[3:])
        return type("Done", (), {"stdout": "cpu, fp32\n[1.5, 2.0]\n"})

    monkeypatch.setattr(growth.subprocess, "run", run)
    assert growth.measure_apart("it", "ours", ["--ngf", "8"]) == [1.5, 2.0]
    assert asked == [["--cell", '["it", "ours"]', "--ngf", "8"]]


def test_a_row_holds_medians_the_ratio_of_neighbouring_turns_and_peaks() -> None:
    found = {"textbook": [[3.0, 1.0], [4.0, 1.5], [8.0, 1.2]], "ours": [[2.0, 0.5], [2.0, 0.5], [2.0, 0.75]]}
    assert growth.row("it", found) == ["it", "4.00", "2.00", "2.00x", "1.50", "0.75"]
