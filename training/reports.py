"""What a training tells its loggers, and how often."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm import tqdm

from models.base import Batch, Losses
from training.indicators import Indicators
from training.loggers import LoggerGroup, Position, Times
from training.previews import Previewer

_LOOK_IMAGES = 400  # between two looks at the indicators, each of which costs a few forward passes
_EARLY_ROWS = 20  # page rows for the first epochs, however short; then they become rarer, down to one per display
Ends = Literal["epoch", "run"] | None


@dataclass(frozen=True)
class Frequencies:
    """Images between two reports, displays and page rows."""

    report: int
    display: int
    page: int

    @property
    def look(self) -> int:
        """Return the images between two looks at the indicators: a whole number of reports, which carry them."""
        return self.report * -(-_LOOK_IMAGES // self.report)


class RunningMeans:
    """Means of the losses since the last epoch began, kept on the device until they are read."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, losses: Losses) -> None:
        """Take one step's losses."""
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def total(self, prefixes: Sequence[str]) -> float:
        """Return the sum of the means of all terms that no name in ``prefixes`` begins."""
        return sum(
            float(value) / self.counts[name]
            for name, value in self.sums.items()
            if not name.startswith(tuple(prefixes))
        )

    def state_dict(self) -> dict[str, Any]:
        """Return sums and counts, in plain types."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from a saved state."""
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.counts = dict(state["counts"])


class Reporter:
    """Turns steps into events for the loggers.

    Args:
        frequencies: when to report.
        previewer: makes pictures.
        loss_names: the order in which the model's paper and logs name the losses.
        indicators: looked at now and then; None for never.
    """

    def __init__(
        self,
        frequencies: Frequencies,
        previewer: Previewer,
        loss_names: Sequence[str],
        indicators: Indicators | None = None,
    ) -> None:
        self.frequencies, self.previewer = frequencies, previewer
        self.loss_names, self.indicators = loss_names, indicators
        self.loggers = LoggerGroup([])
        self._pictured = 0

    def step(
        self, before: Position, now: Position, batch: Batch, losses: Losses, times: Times, ends: Ends = None
    ) -> None:
        """Tell of one step what is due; what ``ends`` with it is told too, a short epoch as well as the run."""

        def due(frequency: int) -> bool:
            return before.total_iters // frequency < now.total_iters // frequency

        self.loggers.progress(now)
        short = ends == "epoch" and now.iters < self.frequencies.report
        if short or ends == "run" or due(self.frequencies.report):
            extra = self._look() if due(self.frequencies.look) else {}
            self.loggers.losses(now, self._named(losses) | extra, times)
        page = due(self.frequencies.page) or before.step == 0 or self._row_ends(now, ends)
        if (page or due(self.frequencies.display)) and self.loggers.takes_visuals:
            self.loggers.visuals(now, self.previewer.pictures(batch), save=page)
            self._pictured = now.total_iters

    def state_dict(self) -> dict[str, int]:
        """Return when pictures were made last."""
        return {"pictured": self._pictured}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from a saved state."""
        self._pictured = state["pictured"]

    def _row_ends(self, now: Position, ends: Ends) -> bool:
        """Return whether a page row shall show what the networks do after this step, which ends an epoch or the run.

        The run does so always, an epoch when the last pictures are old: else a thousand epochs of few images would
        cost as many forward passes and files.
        """
        old = min(self.frequencies.display, now.total_iters / _EARLY_ROWS)
        return ends == "run" or (ends == "epoch" and now.total_iters - self._pictured >= old)

    def _named(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        first = [name for name in self.loss_names if name in losses]
        return {name: losses[name].item() for name in dict.fromkeys([*first, *losses])}

    def _look(self) -> dict[str, float]:
        if self.indicators is None:
            return {}
        values, warnings = self.indicators.look()
        for line in warnings:
            tqdm.write(line, file=sys.stderr)
        return values
