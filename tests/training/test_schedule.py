"""The learning rate over the epochs."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.schedule import Schedule, clock_factor, milestones, rate_factor, total_epochs
from training.settings import ScheduleOptions
from util.errors import UserError

POLICIES = ("linear", "step", "cosine")
epochs = st.tuples(st.integers(0, 60), st.integers(0, 60)).filter(any)


def factors(policy: str, **values: int) -> list[float]:
    options = ScheduleOptions(lr_policy=policy, **values)
    return [rate_factor(options, epoch) for epoch in range(options.epoch_count, total_epochs(options) + 1)]


def test_linear_is_constant_and_then_falls_by_equal_steps_to_just_above_zero() -> None:
    assert factors("linear", n_epochs=3, n_epochs_decay=4) == pytest.approx([1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    assert factors("linear", n_epochs=3, n_epochs_decay=0) == [1, 1, 1]


def test_step_divides_by_ten() -> None:
    found = factors("step", n_epochs=7, n_epochs_decay=0, lr_decay_iters=3)
    assert found == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("epochs", [(1, 0), (5, 0), (3, 4), (0, 6), (100, 100)])
def test_cosine_never_rises_and_ends_near_zero(epochs: tuple[int, int]) -> None:
    found = factors("cosine", n_epochs=epochs[0], n_epochs_decay=epochs[1])
    assert found[0] == 1
    assert all(later < earlier for earlier, later in itertools.pairwise(found))
    assert all(factor > 0 for factor in found)
    assert found[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * (1 - 1 / len(found)))))


@pytest.mark.parametrize("policy", ["linear", "step", "cosine"])
def test_a_later_first_epoch_leaves_the_later_rates_as_they_are(policy: str) -> None:
    whole = factors(policy, n_epochs=4, n_epochs_decay=4, lr_decay_iters=2)
    later = factors(policy, n_epochs=4, n_epochs_decay=4, lr_decay_iters=2, epoch_count=4)
    assert later == whole[3:]
    assert min(whole) > 0


def plateau(losses: list[float]) -> list[float]:
    schedule = Schedule(ScheduleOptions(lr_policy="plateau"))
    found = []
    for epoch, loss in enumerate(losses, 1):
        found.append(schedule.factor(epoch, 0))
        schedule.observe(loss)
    return found


def test_plateau_keeps_the_rate_while_the_loss_falls() -> None:
    assert plateau([0.9**k for k in range(30)]) == [1] * 30


def test_plateau_lowers_the_rate_when_the_loss_is_stale() -> None:
    found = plateau([1.0] * 16)
    assert found == pytest.approx([1] * 7 + [0.2] * 6 + [0.04] * 3)


def test_plateau_is_torchs() -> None:
    random = torch.Generator().manual_seed(0)
    costs = (torch.rand(200, generator=random) + torch.linspace(2, 1, 200)).tolist()
    weight = torch.nn.Parameter(torch.zeros(()))
    theirs = torch.optim.SGD([weight], lr=1.0)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, factor=0.2, patience=5, threshold=0.01, eps=0)
    ours, rates = Schedule(ScheduleOptions(lr_policy="plateau")), []
    for cost in costs:
        ours.observe(cost)
        reference.step(cost)
        rates.append(ours.factor(1, 0))
        assert rates[-1] == pytest.approx(theirs.param_groups[0]["lr"])
    assert len(set(rates)) > 3


def test_plateau_looks_at_relative_progress_of_negative_losses_too() -> None:
    """A Wasserstein generator's loss is often negative and falling."""
    assert plateau([-(1.1**k) for k in range(30)]) == [1] * 30
    assert plateau([-5.0] * 16)[-1] < 1


def test_plateau_starts_again_from_its_saved_state() -> None:
    first, second = (Schedule(ScheduleOptions(lr_policy="plateau")) for _ in range(2))
    for _ in range(4):
        first.observe(1.0)
    second.state = dict(first.state)
    for epoch in range(5, 12):
        assert first.factor(epoch, 0) == second.factor(epoch, 0)
        first.observe(1.0)
        second.observe(1.0)
    assert second.factor(12, 0) < 1


@given(epochs, st.sampled_from(["linear", "cosine"]))
def test_rates_have_no_jumps_and_end_at_the_right_value(parts: tuple[int, int], policy: str) -> None:
    found = factors(policy, n_epochs=parts[0], n_epochs_decay=parts[1])
    total = sum(parts)
    largest_step = 1 / (parts[1] + 1) if policy == "linear" else math.pi / (2 * total)
    assert all(0 <= one - other <= largest_step + 1e-12 for one, other in itertools.pairwise(found))
    end = 1 / (parts[1] + 1) if policy == "linear" else 0.5 * (1 - math.cos(math.pi / total))
    assert found[-1] == pytest.approx(end)


@given(epochs, st.sampled_from(["linear", "cosine"]), st.floats(0, 1), st.floats(0, 1))
def test_by_the_clock_the_rate_falls_without_steps_to_zero(
    parts: tuple[int, int], policy: str, one: float, other: float
) -> None:
    options = ScheduleOptions(lr_policy=policy, n_epochs=parts[0], n_epochs_decay=parts[1])
    early, late = (clock_factor(options, share) for share in sorted((one, other)))
    assert 1 >= early >= late >= -1e-12
    assert early - late <= math.pi / 2 * sum(parts) * abs(one - other) + 1e-9
    decays = policy == "cosine" or parts[1] > 0
    assert clock_factor(options, 1) == pytest.approx(0 if decays else 1)
    assert policy == "cosine" or clock_factor(options, parts[0] / sum(parts)) == pytest.approx(1)


scheduled = st.fixed_dictionaries(
    {
        "lr_policy": st.sampled_from([*POLICIES, "plateau"]),
        "n_epochs": st.integers(0, 5),
        "n_epochs_decay": st.integers(1, 5),
        "lr_decay_iters": st.integers(1, 4),
        "warmup_steps": st.integers(0, 30),
        "lr_milestones": st.lists(st.integers(1, 60).map(str), max_size=3).map(tuple),
        "lr_gamma": st.floats(0, 1),
    }
)


def rates(schedule: Schedule, costs: list[float], steps: range, per_epoch: int) -> list[float]:
    """Return the factors of some steps, with an epoch's cost after each ``per_epoch``."""
    found = []
    for step in steps:
        found.append(schedule.factor(1 + step // per_epoch, step))
        if (step + 1) % per_epoch == 0:
            schedule.observe(costs[step // per_epoch])
    return found


@given(scheduled, st.integers(1, 7), st.lists(st.floats(-3, 3), min_size=10, max_size=10), st.data())
def test_rates_warm_up_then_never_rise_wherever_the_run_is_resumed(
    values: dict[str, Any], per_epoch: int, costs: list[float], data: st.DataObject
) -> None:
    options = ScheduleOptions(**values)
    steps = total_epochs(options) * per_epoch
    whole = rates(Schedule(options), costs, range(steps), per_epoch)
    assert all(0 <= factor <= 1 for factor in whole)
    later = whole[max(0, options.warmup_steps - 1) :]
    assert all(next_one <= one + 1e-12 for one, next_one in itertools.pairwise(later))
    rises = [next_one - one for one, next_one in itertools.pairwise(whole)]
    assert all(rise <= 1 / max(1, options.warmup_steps) + 1e-12 for rise in rises)

    stop = data.draw(st.integers(0, steps))
    first, second = Schedule(options), Schedule(options)
    before = rates(first, costs, range(stop), per_epoch)
    second.state = dict(first.state)
    assert before + rates(second, costs, range(stop, steps), per_epoch) == whole


def test_warm_up_rises_by_equal_steps_to_the_whole_rate() -> None:
    schedule = Schedule(ScheduleOptions(warmup_steps=4))
    assert [schedule.factor(1, step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_milestones_multiply_the_rate_after_their_steps() -> None:
    schedule = Schedule(ScheduleOptions(lr_milestones=("2", "4"), lr_gamma=0.5))
    assert [schedule.factor(1, step) for step in range(6)] == [1, 1, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("wrong", ["x", "-1", "0", "1.5"])
def test_milestones_are_numbers_of_steps(wrong: str) -> None:
    with pytest.raises(UserError, match=r"--lr_milestones 5,.*10000,20000"):
        milestones(ScheduleOptions(lr_milestones=("5", wrong)))


def test_plateau_takes_metrics_that_should_rise() -> None:
    """A PSNR comes as its negative: 20, 21, 22 dB are progress and 22 dB for ever is not."""
    schedule = Schedule(ScheduleOptions(lr_policy="plateau"))
    for psnr in (20, 21, 22):
        schedule.observe(-psnr)
    assert schedule.state["stale"] == 0
    for _ in range(6):
        schedule.observe(-22)
    assert schedule.factor(9, 0) == pytest.approx(0.2)
