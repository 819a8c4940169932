"""Bad numbers: found, named, left out without a trace, and given up on when they do not end."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.base import Batch, Images, Losses, Phase, TranslationModel
from training.guards import EXPLOSION, Guard
from training.memory_need import memory_need
from training.settings import OptimizerOptions, StepOptions
from training.undo import Undo
from training.update import Updater
from util.device import Compute
from util.errors import UserError

Make = Callable[..., TranslationModel]
PAIRED, CYCLE = ["--model", "pix2pix", "--norm", "batch"], ["--model", "cycle_gan"]


@pytest.fixture
def make(make: Make) -> Make:
    """Return models in single precision."""
    return lambda *words: make(*words).float()


def batch(number: int) -> dict[str, Any]:
    random = torch.Generator().manual_seed(number)
    images = {side: torch.rand(2, 3, 32, 32, generator=random) * 2 - 1 for side in "AB"}
    return images | {"A_paths": [f"a{number}.png"] * 2, "B_paths": [f"b{number}.png"] * 2, "key": [number, -number]}


def poisoned(number: int, side: str = "A") -> dict[str, Any]:
    data = batch(number)
    data[side][0, 1, 3, 3] = math.nan
    return data


def updater(model: TranslationModel, **options: Any) -> Updater:
    optimizing = OptimizerOptions(pool_size=2, ema_decay=0.9)
    return Updater(model, optimizing, StepOptions(**options), 1, Compute(torch.device("cpu")))


def snapshot(step: Updater) -> dict[str, Any]:
    return copy.deepcopy({k: v for k, v in step.state_dict().items() if k not in ("guard", "last")})


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("words", [PAIRED, CYCLE], ids=["pix2pix", "cycle_gan"])
@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_bad_image_leaves_no_trace(make: Make, words: list[str], policy: str, capfd: Any) -> None:
    """Both players see the bad image, so neither policy may change anything: as if the step had never been."""
    ours, theirs = updater(make(*words), on_nan=policy), updater(make(*words), on_nan=policy)
    for number in (0, 1):
        ours.step(batch(number), number)
        theirs.step(batch(number), number)
    losses = ours.step(poisoned(2), 2)
    assert all(torch.isfinite(value) for value in losses.values())
    assert same(snapshot(ours), snapshot(theirs))
    line = capfd.readouterr().err
    assert "step 3" in line and "not finite" in line and "input A has such pixels" in line and "a2.png" in line
    for number in (3, 4):
        ours.step(batch(number), number)
        theirs.step(batch(number), number)
    assert same(snapshot(ours), snapshot(theirs))


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_an_image_that_overflows_the_norm_statistics_leaves_no_trace(make: Make, policy: str, capfd: Any) -> None:
    """A no-data value such as -3e38 leaves losses and gradients finite, and the statistics infinite for ever."""
    ours, theirs = updater(make(*PAIRED), on_nan=policy), updater(make(*PAIRED), on_nan=policy)
    data = batch(1)
    data["A"][0, :, :9] = -1e30
    for step in (ours, theirs):
        step.step(batch(0), 0)
    ours.step(data, 1)
    assert same(snapshot(ours), snapshot(theirs))
    line = capfd.readouterr().err
    assert "norm statistics: not finite" in line and ".running_var" in line and "a1.png" in line


class Glitch(nn.Module):
    """A layer whose output is infinite in its n-th call."""

    def __init__(self, inner: nn.Module, call: int) -> None:
        super().__init__()
        self.inner, self.left = inner, call

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        return self.inner(x) * (math.inf if self.left == 0 else 1.0)


def with_late_glitch(model: TranslationModel) -> TranslationModel:
    """Let the discriminator fail in the second step, when it sees the generator's images after its own update."""
    model.D.model[0] = Glitch(model.D.model[0], call=4)  # type: ignore[index, operator, union-attr]
    return model


def test_rollback_undoes_the_players_that_had_already_learned(make: Make) -> None:
    words = ["--model", "pix2pix", "--norm", "instance"]  # D sees real and fake in one call, then once for G
    states = {}
    for policy in ("skip", "rollback"):
        step = updater(with_late_glitch(make(*words)), on_nan=policy)
        before = snapshot(step)
        step.step(batch(0), 0)
        step.step(batch(1), 1)
        states[policy] = snapshot(step), before
    step = updater(with_late_glitch(make(*words)), on_nan="rollback")
    ran = []
    for number in range(3):
        start = snapshot(step)
        step.step(batch(number), number)
        ran.append(not same(snapshot(step), start))
    assert ran.count(False) == 1, "the step with the glitch changed nothing, not even the discriminator"
    assert not same(states["skip"][0]["networks"], states["rollback"][0]["networks"]), "skip keeps the discriminator's"


class Shared(TranslationModel):
    """Three players, two of which train the same network; the last one fails when it is told to."""

    visuals = {"fake_B": "B"}

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.fails = False

    def forward(self, batch: Batch) -> Images:
        return {"fake_B": self.two(self.one(batch["A"]))}

    def near(self, batch: Batch, images: Images) -> Losses:
        return {"near": (images["fake_B"] - batch["B"]).square().mean()}

    def small(self, batch: Batch, images: Images) -> Losses:
        return {"small": self.one(batch["A"]).square().mean() * (math.nan if self.fails else 1.0)}

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("near", ("one", "two"), self.near, through_images=True),
            Phase("nearer", ("one",), self.near, through_images=True),
            Phase("small", ("one",), self.small),
        )


def test_networks_that_players_share_are_kept_once_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    step = updater(Shared(), on_nan="rollback")
    step.step(batch(0), 0)
    before, kept = snapshot(step), []
    monkeypatch.setattr("training.transaction.Undo", lambda tensors: kept.append(Undo(tensors)) or kept[-1])
    step.model.fails = True
    step.step(batch(1), 1)
    assert same(snapshot(step), before)
    weights = {weight.data_ptr() for weight in step.model.parameters()}
    copied = [tensor.data_ptr() for undo in kept for tensor in undo.tensors if tensor.data_ptr() in weights]
    assert sorted(copied) == sorted(weights)
    step.model.fails = False
    step.step(batch(2), 2)
    assert not same(snapshot(step)["networks"], before["networks"])


def test_what_rollback_keeps_is_in_the_estimate_of_memory(make: Make) -> None:
    skipping, undoing = updater(make(*PAIRED)), updater(make(*PAIRED), on_nan="rollback")
    more = memory_need(undoing, batch(0)).gradients - memory_need(skipping, batch(0)).gradients
    discriminator = sum(weight.nbytes for weight in undoing.optimizers["D"].parameters)
    assert 3 * discriminator <= more < 3.1 * discriminator, "weights and both moments of the player before the last"


def test_rollback_undoes_generators_averages_and_histories_too(make: Make) -> None:
    """In CycleGAN the generators learn first; the discriminator fails in its own turn of the second step."""
    model = make(*CYCLE)
    model.D_A.model[0] = Glitch(model.D_A.model[0], call=4)  # type: ignore[index, operator, union-attr]
    step = updater(model, on_nan="rollback")
    step.step(batch(0), 0)
    before = snapshot(step)
    step.step(batch(1), 1)
    assert same(snapshot(step), before)
    step.step(batch(2), 2)
    assert not same(snapshot(step)["average"], before["average"])


def test_the_file_of_the_bad_sample_is_named(make: Make, capfd: Any) -> None:
    data = batch(0)
    data["A_paths"] = ["good.png", "bad.png"]
    data["A"][1, 0, 0, 0] = math.inf
    updater(make(*PAIRED), accumulate=2).step(data, 0)
    line = capfd.readouterr().err
    assert "bad.png" in line and "good.png" not in line and "input A has such pixels" in line


def test_stop_ends_with_the_weights_before_the_step(make: Make) -> None:
    step = updater(make(*PAIRED), on_nan="stop")
    step.step(batch(0), 0)
    before = snapshot(step)
    with pytest.raises(UserError, match="step 2.*not finite.*--on_nan stop"):
        step.step(poisoned(1, "B"), 1)
    assert same(snapshot(step), before)


def test_it_gives_up_after_some_bad_steps_in_a_row(make: Make) -> None:
    step = updater(make(*PAIRED), nan_patience=3)
    step.step(poisoned(0), 0)
    step.step(batch(1), 1)  # a good one starts the count anew
    step.step(poisoned(2), 2)
    step.step(poisoned(3), 3)
    with pytest.raises(UserError, match="3 steps in a row.*--continue_train.*--lr"):
        step.step(poisoned(4), 4)


def test_the_layer_that_first_fails_is_named(make: Make, capfd: Any) -> None:
    model = make("--model", "pix2pix", "--norm", "instance")
    with torch.no_grad():
        model.G.model[4].weight[0, 0, 0, 0] = math.inf  # type: ignore[index, union-attr]
    updater(model).step(batch(0), 0)
    assert "first in layer G.model.4 (Conv2d)" in capfd.readouterr().err


def test_an_exploding_gradient_is_left_out(make: Make, capfd: Any) -> None:
    step = updater(make(*CYCLE))
    for number in range(3):
        step.step(batch(number), number)
    before = snapshot(step)
    for optimizer in step.optimizers.values():
        for parameter in optimizer.parameters:
            parameter.register_hook(lambda gradient: gradient * 10 * EXPLOSION)
    step.step(batch(3), 3)
    assert same(snapshot(step)["networks"], before["networks"])
    assert "the gradient exploded (norm" in capfd.readouterr().err


def test_ordinary_changes_of_the_norm_are_no_explosion() -> None:
    guard = Guard(patience=3)
    norms = [1.0, 30.0, 0.001, 0.001, 500.0, 2.0]
    assert not any(bool(guard.check("G", torch.tensor(norm)).bad) for norm in norms)
    assert bool(guard.check("G", torch.tensor(1e6)).bad)
    assert not bool(guard.check("G", torch.tensor(400.0)).bad), "what exploded is not taken for the new normal"


def test_looking_every_few_steps_tells_the_same(make: Make, capfd: Any) -> None:
    """Where looking means waiting for the device the weights are kept without it; the message comes later."""
    now, later = updater(make(*PAIRED)), updater(make(*PAIRED))
    later._host_decides, later.guard.interval = False, 3
    for number in range(6):
        data = poisoned(number) if number == 1 else batch(number)
        now.step(copy.deepcopy(data), number)
        later.step(data, number)
        if number == 1:
            first = capfd.readouterr().err
    assert "step 2" in first and "step 2" in capfd.readouterr().err
    assert same(snapshot(now)["networks"], snapshot(later)["networks"])
    assert same(snapshot(now)["optimizers"], snapshot(later)["optimizers"])


def test_near_constant_images_do_not_explode_under_instance_norm(make: Make) -> None:
    step = updater(make(*CYCLE, "--netG", "resnet_6blocks"))
    random = torch.Generator().manual_seed(0)
    for number in range(5):
        data = batch(number)
        for side in "AB":
            data[side] = 0.3 + 1e-6 * torch.rand(2, 3, 32, 32, generator=random)
        losses = step.step(data, number)
        assert all(torch.isfinite(value) and value.abs() < 1e3 for value in losses.values())
    assert step.guard.total == 0
    assert all(torch.isfinite(value).all() for value in step.model.state_dict().values())


def test_the_count_of_bad_steps_survives_a_resume(make: Make) -> None:
    step = updater(make(*PAIRED))
    step.step(batch(0), 0)
    step.step(poisoned(1), 1)
    other = updater(make(*PAIRED))
    other.load_state_dict(step.state_dict())
    assert other.guard.total == other.guard.streak == 1
    assert other.guard.peaks.keys() == step.guard.peaks.keys()
