"""What the tests of the update step share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from commands.build import build_model
from models.base import TranslationModel
from options.train_options import TrainOptions


@pytest.fixture
def make(tiny: list[str]) -> Callable[..., TranslationModel]:
    """Return a function that builds a tiny model from flags, in double precision."""

    def build(*words: str) -> TranslationModel:
        options = TrainOptions().parse(["--dataroot", ".", *tiny, "--init_gain", "0.2", *words])
        return build_model(options, train=True).double().train()

    return build
