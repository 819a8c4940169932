"""When to validate, and what follows: values for the logs, the best weights, the end of a training that stalls."""

from __future__ import annotations

import math
import sys
from typing import Any

from evaluation.measurement import Row
from training.best import Best, write_best
from training.loggers import LoggerGroup, Position, Times
from training.saving import Saver
from training.settings import BEST_METRICS, ValidationOptions
from training.validator import Validation, Validator, Variant
from util.errors import UserError


class Validations:
    """Validates every ``frequency`` epochs, keeps the best weights and remembers when they were found.

    Args:
        validator: measures.
        saver: writes ``best_net_*.pth``.
        options: metric and patience.
        frequency: epochs between two validations.
    """

    def __init__(self, validator: Validator, saver: Saver, options: ValidationOptions, frequency: int) -> None:
        self.validator, self.saver, self.frequency = validator, saver, frequency
        self.best = Best(options.best_metric, options.early_stop)
        self.measures = validator.measures
        self.last_step = -1

    def is_due(self, epoch: int, last_epoch: int) -> bool:
        """Return whether to validate at the end of ``epoch``."""
        return epoch % self.frequency == 0 or epoch == last_epoch

    def run(self, position: Position, loggers: LoggerGroup) -> float | None:
        """Validate; return the cost by the best of plain and averaged weights, None where nothing is measured.

        Raises:
            UserError: the disk takes no more, or the first validation has no value of the metric.
        """
        found = self.validator.run()
        self.last_step = position.step
        if found.values:
            loggers.losses(position, found.values, Times(found.seconds_per_image, 0.0))
        loggers.visuals(position, found.pictures, save=True)
        return self._judge(found, position) if found.scores else None

    def _judge(self, found: Validation, position: Position) -> float:
        costs = {variant: self.best.cost(row) for variant, row in found.scores.items() if variant.usual}
        winner = min(costs, key=lambda variant: costs[variant])
        if costs[winner] == math.inf:
            self._tell_unmeasured(found.scores[winner])
        if self.best.improves(costs[winner]):  # written first: what cannot be written is not remembered as the best
            value = found.scores[winner][self.best.metric]
            self.saver.updater.ranks.first_does(lambda: self._keep(winner, value, position))
        self.best.observe(costs[winner])
        return costs[winner]

    def _tell_unmeasured(self, row: Row) -> None:
        """Say that the metric has no value; UserError where it never had one though others have."""
        metric, found = self.best.metric, [name for name in BEST_METRICS if not math.isnan(row.get(name, math.nan))]
        if found and not self.best.is_known:
            fix = f"use {', '.join(found)}"
            raise UserError(f"--best_metric {metric}: no image of the val split can be measured by it; {fix}")
        if self.saver.updater.ranks.first:
            line = f"warning: this validation has no {metric} (no finite pixels?), so it is no candidate for the best"
            print(line, file=sys.stderr)

    def _keep(self, winner: Variant, value: float, position: Position) -> None:
        self.saver.save_best(averaged=winner.averaged)
        write_best(self.saver.folder, position, self.best.metric, value, winner.averaged)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, the patience used up and the step of the last validation."""
        return {"best": dict(self.best.state), "last_step": self.last_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.best.load_state_dict(state["best"])
        self.last_step = state["last_step"]
