"""``--time_budget``: a training that fits a span of time, whatever the speed of the machine."""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from training.loggers.text import duration
from util.errors import UserError

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_RECENT_STEPS = 20


def parse_duration(text: str) -> float:
    """Return the seconds of ``36h``, ``90m``, ``5400s``, ``1h30m`` or ``2d``; UserError for anything else."""
    compact = text.strip().lower().replace(" ", "")
    if not re.fullmatch(r"(\d+(\.\d+)?[dhms])+", compact):
        raise UserError(f"--time_budget {text}: give a time with its unit, such as 36h, 90m, 5400s or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([dhms])", compact))
    if seconds <= 0:
        raise UserError(f"--time_budget {text}: nothing can be trained in no time; give for example 90m")
    return seconds


class TimeBudget:
    """How much of the time is used up, over all sessions, and when to stop so that the last save still fits.

    The schedule follows the clock instead of counting epochs. So a machine that becomes slower or faster, a
    validation or an interruption changes the number of steps, and the rate still ends where it should.

    Args:
        seconds: for the whole training.
        closing: the work that follows the last step, "save" and maybe "validation".
        age: seconds for which this session has been preparing already.
        now: clock in seconds.
    """

    def __init__(
        self,
        seconds: float,
        closing: Sequence[str] = ("save",),
        age: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds, self._works, self._now = seconds, tuple(closing), now
        self._began, self._earlier, self._step_began = now() - age, 0.0, now()
        self._furthest = self._known = 0.0
        self._closing: dict[str, float] = {}
        self._steps: deque[float] = deque(maxlen=_RECENT_STEPS)

    @property
    def used(self) -> float:
        """Return the seconds used by this session and those before it, up to their last saves."""
        self._known = self._earlier + self._now() - self._began
        return self._known

    def step_begins(self) -> None:
        """Start to measure a step, its wait for data included."""
        self._step_began = self._now()

    def step_ends(self) -> None:
        """Take note of how long the step took."""
        self._steps.append(self._now() - self._step_began)
        _ = self.used  # noted here, since a process that saves alone must not wait for the others' clock

    @contextlib.contextmanager
    def timing(self, work: str) -> Iterator[None]:
        """Measure work that must be done again at the end."""
        began = self._now()
        yield
        self._closing[work] = max(self._closing.get(work, 0.0), self._now() - began)

    @property
    def reserve(self) -> float:
        """Return the seconds to keep for one more step and all that follows the last one."""
        guess = 0.0 if all(work in self._closing for work in self._works) else min(60.0, 0.05 * self.seconds)
        closing = sum(self._closing.values()) + self._closing.get("save", 0.0)  # saved before and after validating
        return guess + 1.5 * (closing + max(self._steps, default=0.0))

    @property
    def progress(self) -> float:
        """Return the share of the schedule that lies behind, 0 to 1; it never goes back."""
        share = self.used / max(self.seconds - self.reserve, 1e-9)
        self._furthest = min(1.0, max(self._furthest, share))
        return self._furthest

    @property
    def is_over(self) -> bool:
        """Return whether another step might not leave the time to save."""
        return self.used + self.reserve >= self.seconds

    def steps_left(self, step_seconds: float) -> int:
        """Return how many steps of this length still fit."""
        return max(0, int((self.seconds - self.reserve - self.used) / max(step_seconds, 1e-9)))

    def plan(self, step_seconds: float, steps_per_epoch: int, policy: str) -> str:
        """Return one line on what will be done in the time that is left."""
        steps, left = self.steps_left(step_seconds), self.seconds - self.used
        used = f"{duration(self.used)} used, " if self._earlier else ""
        return (
            f"time budget {duration(self.seconds)}: {used}{duration(left)} left for about {steps:,} steps of "
            f"{step_seconds:.3g} s ({steps / max(1, steps_per_epoch):.3g} epochs) until "
            f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(time.time() + left))}; "
            f"the {policy} learning rate follows the clock"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the time used so far, in plain types."""
        return {"used": self._known, "furthest": self._furthest, "closing": dict(self._closing)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count what earlier sessions used; the time since this one began stays counted."""
        self._earlier, self._furthest = state["used"], state["furthest"]
        self._closing = dict(state["closing"])
