"""A step as a GPU takes it reads nothing back from the device, so that the host never waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.base import TranslationModel
from training.settings import OptimizerOptions, StepOptions
from training.update import _LOOK_EVERY, Updater
from util.device import Compute

READS = {"aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::nonzero", "aten::masked_select"}


class Reads(TorchDispatchMode):
    """Counts what would make the host wait: values of tensors, and sizes that depend on them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in READS:
            self.found.append(func._schema.name)
        return func(*args, **(kwargs or {}))


def as_on_a_gpu(model: TranslationModel, **options: Any) -> Updater:
    """Return an updater that lets the device decide on bad gradients."""
    step = Updater(model, OptimizerOptions(**options), StepOptions(), 0, Compute(torch.device("cpu")))
    step._host_decides, step.guard.interval = False, _LOOK_EVERY
    return step


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--model", "pix2pix", "--no_dropout", "false"], {"clip_grad": 1.0, "weight_l1": 0.1}),
        (["--model", "cycle_gan", "--gan_mode", "wgangp"], {"ema_decay": 0.9, "d_steps": 2}),
    ],
    ids=["pix2pix", "cycle_gan"],
)
def test_only_every_so_many_steps_wait_for_the_device(
    make: Callable[..., TranslationModel], words: list[str], options: dict[str, Any]
) -> None:
    step = as_on_a_gpu(make(*words), **options)
    batch = {side: torch.rand(1, 3, 32, 32, dtype=torch.float64) for side in "AB"}
    waits = []
    for number in range(_LOOK_EVERY):
        with Reads() as reads:
            step.step(batch, number)
        waits.append(len(reads.found))
    assert waits[:-1] == [0] * (_LOOK_EVERY - 1), reads.found
    assert waits[-1] > 0, "the guard looks"


def test_the_host_waits_for_each_phase_where_it_decides(make: Callable[..., TranslationModel]) -> None:
    model = make("--model", "pix2pix")
    step = Updater(model, OptimizerOptions(), StepOptions(on_nan="rollback"), 0, Compute(torch.device("cpu")))
    with Reads() as reads:
        step.step({side: torch.rand(1, 3, 32, 32, dtype=torch.float64) for side in "AB"}, 0)
    assert len(reads.found) >= 2
