"""The learning rate over the epochs."""

from __future__ import annotations

import itertools
import math

import pytest

from training.schedule import Schedule, rate_factor, total_epochs
from training.settings import ScheduleOptions


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
        found.append(schedule.factor(epoch))
        schedule.epoch_end(loss)
    return found


def test_plateau_keeps_the_rate_while_the_loss_falls() -> None:
    assert plateau([0.9**k for k in range(30)]) == [1] * 30


def test_plateau_lowers_the_rate_when_the_loss_is_stale() -> None:
    found = plateau([1.0] * 16)
    assert found == pytest.approx([1] * 7 + [0.2] * 6 + [0.04] * 3)


def test_plateau_looks_at_relative_progress_of_negative_losses_too() -> None:
    """A Wasserstein generator's loss is often negative and falling."""
    assert plateau([-(1.1**k) for k in range(30)]) == [1] * 30
    assert plateau([-5.0] * 16)[-1] < 1


def test_plateau_starts_again_from_its_saved_state() -> None:
    first, second = (Schedule(ScheduleOptions(lr_policy="plateau")) for _ in range(2))
    for _ in range(4):
        first.epoch_end(1.0)
    second.state = dict(first.state)
    for epoch in range(5, 12):
        assert first.factor(epoch) == second.factor(epoch)
        first.epoch_end(1.0)
        second.epoch_end(1.0)
    assert second.factor(12) < 1
