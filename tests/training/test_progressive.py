"""Crops that grow by stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.progressive import ProgressiveLoader, Stage, stage_at, stages_of
from training.settings import StartOptions
from util.errors import UserError


class Sizes:
    """A loader whose one batch says its size, epoch and offset."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.dataset = stage, range(stage.crop_size)

    def epoch(self, epoch: int, offset: int = 0) -> Iterator[Any]:
        yield self.stage.crop_size, epoch, offset


@given(st.integers(1, 5), st.integers(1, 200))
def test_stages_are_equal_parts_in_order(stages: int, epochs: int) -> None:
    found = [stage_at(epoch, stages, epochs) for epoch in range(1, epochs + 1)]
    assert found == sorted(found)
    assert found[0] == 0
    counts = [found.count(stage) for stage in range(stages)]
    assert max(counts) - min(counts) <= 1
    assert stage_at(epochs + 5, stages, epochs) == stages - 1, "a run that is trained for longer stays at the last"


def test_every_epoch_comes_in_the_size_of_its_stage_from_any_position() -> None:
    entered: list[Stage] = []
    stages = [Stage(192, 0.0), Stage(256, 1e-5), Stage(320, 1e-4)]

    def loader() -> ProgressiveLoader:
        return ProgressiveLoader(stages, 6, Sizes, entered.append)

    whole = loader()
    assert [next(whole.epoch(epoch)) for epoch in range(1, 7)] == [
        *((192, 1, 0), (192, 2, 0), (256, 3, 0), (256, 4, 0), (320, 5, 0), (320, 6, 0))
    ]
    assert [stage.weight_decay for stage in entered] == [0, 0, 1e-5, 1e-5, 1e-4, 1e-4]
    assert next(loader().epoch(4, 7)) == (256, 4, 7)
    assert len(whole.dataset) == 320


def test_the_flags_become_stages() -> None:
    assert stages_of(StartOptions()) == []
    options = StartOptions(progressive_sizes=("192", "256"), progressive_weight_decay=("0", "1e-5"))
    assert stages_of(options) == [Stage(192, 0.0), Stage(256, 1e-5)]
    assert stages_of(StartOptions(progressive_sizes=("192",))) == [Stage(192, None)]


@pytest.mark.parametrize(
    ("sizes", "decays", "message"),
    [
        (("192", "big"), (), "take numbers"),
        (("192", "256"), ("0",), "one for each"),
        (("192",), ("x",), "take numbers"),
        (("0",), (), "1 or more"),
        (("8",), ("-1",), "0 or more"),
        ((), ("1e-4",), "one for each"),
    ],
)
def test_other_flags_are_refused(sizes: tuple[str, ...], decays: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        stages_of(StartOptions(progressive_sizes=sizes, progressive_weight_decay=decays))
