"""What follows from a validation, and that one without a value of the metric is never silent."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import pytest

from training.loggers import LoggerGroup, Position
from training.ranks import Ranks
from training.settings import ValidationOptions
from training.validation import Validations
from training.validator import Validation, Variant
from util.errors import UserError

USUAL = Variant(averaged=False, test_norm="running", suffix="", usual=True)


class Scores:
    """Stands for a Validator: the given metrics, one validation after the other."""

    measures = True

    def __init__(self, *rows: dict[str, float]) -> None:
        self.rows = iter(rows)

    def run(self) -> Validation:
        return Validation({USUAL: next(self.rows)}, {}, 0.1)


class Saver:
    """Counts how often the best weights were saved."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder, self.updater, self.saved = folder, self, 0
        self.ranks = Ranks()

    def save_best(self, *, averaged: bool) -> None:
        self.saved += 1


def validations(folder: pathlib.Path, metric: str, *rows: dict[str, float]) -> tuple[Validations, Saver]:
    saver, scores = Saver(folder), Scores(*rows)
    parts: Any = (scores, saver)
    return Validations(*parts, ValidationOptions(best_metric=metric), 1), saver


@pytest.mark.parametrize("row", [{"psnr": 20.0, "ms_ssim": math.nan}, {"psnr": 20.0}])
def test_a_metric_that_the_images_do_not_have_ends_the_first_validation(
    tmp_path: pathlib.Path, row: dict[str, float]
) -> None:
    tried, saver = validations(tmp_path, "ms_ssim", row)
    with pytest.raises(UserError, match="--best_metric ms_ssim: no image .*; use psnr"):
        tried.run(Position(), LoggerGroup([]))
    assert saver.saved == 0


def test_a_later_validation_without_a_value_is_told_of_and_is_not_the_best(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = {"psnr": 9.0, "ssim": math.nan}
    tried, saver = validations(tmp_path, "ssim", {"psnr": 20.0, "ssim": 0.5}, lost, {"psnr": 21.0, "ssim": 0.6})
    assert [tried.run(Position(), LoggerGroup([])) for _ in range(3)] == [-0.5, math.inf, -0.6]
    assert saver.saved == 2
    assert capsys.readouterr().err.splitlines() == [
        "warning: this validation has no ssim (no finite pixels?), so it is no candidate for the best"
    ]


def test_networks_that_give_no_number_at_all_do_not_end_the_training(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tried, saver = validations(tmp_path, "psnr", {"psnr": math.nan, "rmse": math.nan})
    assert tried.run(Position(), LoggerGroup([])) == math.inf
    assert saver.saved == 0 and "has no psnr" in capsys.readouterr().err
