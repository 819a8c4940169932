"""A time budget, by a clock that the test turns."""

from __future__ import annotations

import pytest

from training.schedule import clock_factor
from training.settings import ScheduleOptions
from training.time_budget import TimeBudget, parse_duration
from util.errors import UserError


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("36h", 129600), ("90m", 5400), ("5400s", 5400), ("1h30m", 5400), ("1.5 h", 5400), ("2D", 172800)],
)
def test_times_with_units(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["36", "h", "36 hours", "-1h", "", "1h 3x", "0s", "1e3s"])
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError, match="--time_budget .*90m"):
        parse_duration(text)


def train(budget: TimeBudget, clock: Clock, step_seconds: list[float], *, save_every: int = 10) -> list[float]:
    """Train until the budget ends or the steps do; return the factor of every step, and save at the end."""
    options, factors = ScheduleOptions(n_epochs=1, n_epochs_decay=1), []
    for number, seconds in enumerate(step_seconds):
        if budget.is_over:
            break
        factors.append(clock_factor(options, budget.progress))
        budget.step_begins()
        clock.wait(seconds)
        budget.step_ends()
        if number % save_every == save_every - 1:
            save(budget, clock)
    save(budget, clock)
    return factors


def save(budget: TimeBudget, clock: Clock, seconds: float = 2.0) -> None:
    with budget.timing("save"):
        clock.wait(seconds)


SPEEDS = {
    "steady": [1.0] * 5000,
    "slower and slower": [0.5 + 0.002 * k for k in range(5000)],
    "faster": [3.0] * 100 + [0.3] * 5000,
    "a pause in the middle": [1.0] * 200 + [100.0] + [1.0] * 5000,
}


@pytest.mark.parametrize("speed", SPEEDS)
def test_it_ends_saved_within_the_time_and_with_the_decayed_rate(speed: str) -> None:
    clock = Clock()
    budget = TimeBudget(1000, now=clock)
    factors = train(budget, clock, SPEEDS[speed])
    assert 930 < budget.used <= 1000
    assert factors[0] == 1
    assert 0 <= factors[-1] < 0.02
    assert all(later <= earlier for earlier, later in zip(factors, factors[1:], strict=False))
    constant = sum(factor == 1 for factor in factors)
    assert speed != "steady" or constant == pytest.approx(len(factors) / 2, rel=0.05)


def test_an_interruption_costs_no_time_of_the_budget_and_keeps_what_was_used() -> None:
    clock = Clock()
    first = TimeBudget(1000, now=clock)
    before = train(first, clock, [1.0] * 300)
    state = first.state_dict()
    clock.wait(1e6)  # the machine was off
    second = TimeBudget(1000, age=7, now=clock)
    clock.wait(20)  # starting takes time, and that counts
    second.load_state_dict(state)
    assert second.used == pytest.approx(state["used"] + 27)
    after = train(second, clock, [1.0] * 5000)
    assert second.used <= 1000
    assert after[0] <= before[-1]
    assert after[-1] < 0.02


def test_the_reserve_covers_a_validation_that_was_not_measured_yet() -> None:
    clock = Clock()
    budget = TimeBudget(1000, ("save", "validation"), now=clock)
    save(budget, clock)
    assert budget.reserve == pytest.approx(50 + 6)
    with budget.timing("validation"):
        clock.wait(30)
    assert budget.reserve == pytest.approx(1.5 * 34)


def test_the_plan_is_one_line_and_says_what_was_used() -> None:
    clock = Clock()
    budget = TimeBudget(3600, now=clock)
    save(budget, clock)
    line = budget.plan(2.0, 100, "linear")
    assert "time budget 1 h 0 min: 59 min 58 s left for about 1,796 steps of 2 s (18 epochs) until 20" in line
    assert "\n" not in line
    resumed = TimeBudget(3600, now=clock)
    resumed.load_state_dict(budget.state_dict() | {"used": 1800.0})
    assert "1 h 0 min: 30 min 0 s used, 30 min 0 s left for about 897 steps" in resumed.plan(2.0, 100, "linear")


def test_a_budget_without_time_left_is_over_at_once() -> None:
    clock = Clock()
    budget = TimeBudget(100, now=clock)
    budget.load_state_dict({"used": 99.0, "furthest": 0.99, "closing": {"save": 1.0}})
    assert budget.is_over
    assert budget.steps_left(0.1) == 0
