"""TensorBoard files hold every number and picture once, over an interruption too."""

from __future__ import annotations

import math
import pathlib
import sys

import numpy as np
import pytest

from training.loggers import make_loggers
from training.loggers.base import Position, RunInfo, Times
from training.loggers.options import DisplayOptions
from training.loggers.tensorboard import TensorBoardLogger
from util.errors import UserError

BEGIN = Position()


def run_info(folder: pathlib.Path, start: Position = BEGIN) -> RunInfo:
    return RunInfo(folder, "run", "pix2pix", {"lr": 2e-4}, {}, 100, 100, 10, 10, start)


def write(folder: pathlib.Path, steps: list[int], start: Position = BEGIN, value: float = 1.0) -> None:
    logger = TensorBoardLogger()
    logger.start(run_info(folder, start))
    for step in steps:
        logger.losses(Position(1, step, step, step), {"G_L1": value * step, "val_psnr": math.inf}, Times(1, 1, 2e-4))
    logger.visuals(Position(1, steps[-1], 1, steps[-1]), {"fake_B": np.full((4, 5, 3), 7, np.uint8)}, save=True)
    logger.visuals(Position(1, steps[-1], 1, steps[-1]), {"real_A": np.full((4, 5), 9, np.uint8)}, save=False)
    logger.close()
    logger.close()


def test_a_resumed_training_goes_on_in_the_same_curves(tmp_path: pathlib.Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(tmp_path, [5, 10, 15])
    write(tmp_path, [15, 20], Position(2, 0, 10, 10), value=2.0)  # from the checkpoint at 10
    events = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("losses/G_L1")] == [(5, 5), (10, 10), (15, 30), (20, 40)]
    assert {e.value for e in events.Scalars("training/lr")} == {np.float32(2e-4)}
    assert set(events.Tags()["images"]) == {"images/fake_B", "images/real_A"}
    picture = events.Images("images/fake_B")[-1]
    assert (picture.height, picture.width) == (4, 5)
    assert "validation/psnr" not in events.Tags()["scalars"], "what is not finite leaves a gap"


def test_without_the_package_it_is_one_line_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        make_loggers(DisplayOptions(display_id=0, no_html=True, use_tensorboard=True))
    assert make_loggers(DisplayOptions(display_id=0, no_html=True)).loggers
