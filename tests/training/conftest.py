"""What the tests of the update step and of the trainer share."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from commands.build import build_model
from models.base import TranslationModel
from options.train_options import TrainOptions
from tests.training.runs import EPOCHS, METHODS, teacher


@pytest.fixture
def make(tiny: list[str]) -> Callable[..., TranslationModel]:
    """Return a function that builds a tiny model from flags, in double precision."""

    def build(*words: str) -> TranslationModel:
        options = TrainOptions().parse(["--dataroot", ".", *tiny, "--init_gain", "0.2", *words])
        return build_model(options, train=True).double().train()

    return build


@pytest.fixture
def words(tmp_path: pathlib.Path, aligned: pathlib.Path, unaligned: pathlib.Path, tiny: list[str]) -> Any:
    """Return a function that gives the words of a tiny training of 2 epochs, by method and name."""

    def build(model: str, name: str, *more: object) -> list[str]:
        data = unaligned if model in ("cycle_gan", "cut", "fastcut", "classify") else aligned
        own = ["--teacher", teacher()] if model == "distill" else []
        where = ["--model", model, "--dataroot", data, "--checkpoints_dir", tmp_path, "--name", name]
        return [str(word) for word in [*where, *tiny, *EPOCHS, *METHODS[model], *own, *more]]

    return build
