"""loss_log.txt, losses.jsonl and the terminal."""

from __future__ import annotations

import json
import re

import pytest

from training.loggers import Position, RunInfo, Times
from training.loggers.console import Console
from training.loggers.jsonl import JsonLines, read
from training.loggers.loss_log import LossLog
from training.loggers.text import duration, loss_line, position_of

BEGIN = Position()
TIMES = Times(0.1, 0.01, 2e-4)
LOSSES = {"G_GAN": 0.1234, "G_L1": 0.456}


def run_info(folder, start=BEGIN):
    return RunInfo(folder, "demo", "pix2pix", {}, {}, 40, 40, 20, 2, start)


def filled(logger_class, folder, steps, start=BEGIN):
    logger = logger_class()
    logger.start(run_info(folder, start))
    for step in steps:
        logger.losses(Position((step - 1) // 20 + 1, (step - 1) % 20 + 1, step, step), LOSSES, TIMES)
    logger.close()


def test_the_established_line():
    line = loss_line(Position(1, 100, 100, 100), LOSSES, TIMES)
    assert line == "(epoch: 1, iters: 100, time: 0.100, data: 0.010) G_GAN: 0.123 G_L1: 0.456"
    assert position_of(line) == (1, 100)
    assert position_of("==== Training Loss ====") is None


def test_loss_log_begins_with_its_header(tmp_path):
    filled(LossLog, tmp_path, [10])
    header, line = (tmp_path / "loss_log.txt").read_text().splitlines()
    assert re.fullmatch(r"================ Training Loss \(.+\) ================", header)
    assert line.startswith("(epoch: 1, iters: 10, ")


def test_resuming_drops_what_came_after_the_checkpoint(tmp_path):
    for logger_class in (LossLog, JsonLines):
        filled(logger_class, tmp_path, [10, 20, 30])
    for name in ("loss_log.txt", "losses.jsonl"):
        with (tmp_path / name).open("a") as file:
            file.write('(epoch: 1, iters: 5, "total_iters": 3')  # torn by a crash
    for logger_class in (LossLog, JsonLines):
        filled(logger_class, tmp_path, [30, 40], start=Position(2, 5, 25, 25))
    lines = (tmp_path / "loss_log.txt").read_text().splitlines()
    assert [position_of(line) for line in lines] == [None, (1, 10), (1, 20), None, (2, 10), (2, 20)]
    assert [record["total_iters"] for record in read(tmp_path / "losses.jsonl")] == [10, 20, 30, 40]


def test_jsonl_stays_json_with_values_that_are_not_finite(tmp_path):
    logger = JsonLines()
    logger.start(run_info(tmp_path))
    logger.losses(Position(1, 5, 5, 5), {"G": float("nan"), "D": float("-inf"), "L1": 1.5}, TIMES)
    (line,) = (tmp_path / "losses.jsonl").read_text().splitlines()
    record = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert record["losses"] == {"G": None, "D": None, "L1": 1.5}
    assert record["nonfinite"] == {"G": "nan", "D": "-inf"}
    assert record["lr"] == 2e-4 and record["epoch"] == 1


def test_plain_output_has_a_line_per_report_and_no_control_characters(tmp_path, capsys):
    console = Console(bar=False)
    console.start(run_info(tmp_path))
    for step in range(1, 21):
        console.progress(Position(1, step, step, step))
        if step % 10 == 0:
            console.losses(Position(1, step, step, step), LOSSES, TIMES)
    console.epoch_end(Position(1, 20, 20, 20))
    console.close()
    out, err = capsys.readouterr()
    assert err == ""
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", out)
    lines = out.splitlines()
    assert len(lines) == 3
    assert lines[1] == loss_line(Position(1, 20), LOSSES, TIMES)
    assert lines[2].startswith("End of epoch 1 / 2 \t Time Taken:") and "Time Left:" in lines[2]


def test_the_bar_covers_the_whole_training_after_resuming_too(tmp_path, capsys):
    console = Console(bar=True)
    console.start(run_info(tmp_path, start=Position(1, 10, 10, 10)))
    console.losses(Position(1, 11, 11, 11), {"G": 1.0}, TIMES)
    console.losses(Position(1, 12, 12, 12), {"G": 3.0}, TIMES)
    bar = console._bar
    assert (bar.initial, bar.n, bar.total) == (10, 12, 40)
    assert bar.postfix == "G 2"
    text = bar.format_meter(n=20, total=40, elapsed=5, initial=10, unit="img", rate=None)
    assert "00:10" in text and "2.00img/s" in text  # 20 images left at 2 images/s, not at 4
    console.close()
    console.close()
    assert "epoch 1/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(42, "42 s"), (310, "5 min 10 s"), (12000, "3 h 20 min"), (86400 + 7200, "1 day 2 h"), (200000, "2 days 7 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
