"""The best validation so far: what ``best_net_*.pth`` holds, and whether to go on."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from evaluation.table import LOWER_IS_BETTER
from training.loggers import Position
from util.errors import UserError
from util.files import write_text

FILE, LABEL = "best.json", "best"


class Best:
    """The best value of one metric, when it was reached, and how many validations have passed since.

    Args:
        metric: a column of the validation, such as "psnr" or "lpips".
        patience: of ``--early_stop``; 0 for endless.
    """

    def __init__(self, metric: str, patience: int = 0) -> None:
        self.metric, self.patience = metric, patience
        self.state: dict[str, Any] = {"metric": metric, "cost": math.inf, "stale": 0}

    def cost(self, scores: Mapping[str, float]) -> float:
        """Return the metric as a number that is better when smaller; infinite where it could not be computed."""
        value = scores.get(self.metric, math.nan)
        return math.inf if math.isnan(value) else value if self.metric in LOWER_IS_BETTER else -value

    def improves(self, cost: float) -> bool:
        """Return whether this cost would be the best so far."""
        return cost < self.state["cost"]

    @property
    def is_known(self) -> bool:
        """Return whether any validation so far gave the metric a value."""
        return self.state["cost"] < math.inf

    def observe(self, cost: float) -> bool:
        """Take one validation's cost; return whether it is the best so far."""
        improved = self.improves(cost)
        self.state |= {"cost": cost, "stale": 0} if improved else {"stale": self.state["stale"] + 1}
        return improved

    @property
    def is_exhausted(self) -> bool:
        """Return whether ``patience`` validations in a row were not better."""
        return 0 < self.patience <= self.state["stale"]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; one of another metric says nothing about this one."""
        if state.get("metric") == self.metric:
            self.state = dict(state)


def write_best(folder: pathlib.Path, position: Position, metric: str, value: float, averaged: bool) -> None:
    """Write ``best.json``, which says what the weights beside it are; UserError when the disk takes no more."""
    facts = {"epoch": position.epoch, "step": position.step, "metric": metric, "value": value, "averaged": averaged}
    try:
        write_text(folder / FILE, json.dumps(facts), make_folder=False)
    except OSError as error:
        raise UserError(f"{folder / FILE}: cannot be saved ({error}); free some space, use --continue_train") from None


def describe_best(folder: pathlib.Path) -> str:
    """Return ``best: epoch 35, psnr 24.1 on the val split``; empty where nothing is known of it."""
    try:
        facts = json.loads((folder / FILE).read_text(encoding="utf-8"))
        weights = ", averaged weights" if facts["averaged"] else ""
        return f"best: epoch {facts['epoch']}, {facts['metric']} {facts['value']:.4g} on the val split{weights}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
