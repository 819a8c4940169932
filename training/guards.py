"""What happens when a loss or gradient is not finite, or explodes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.base import Batch, Losses
from util.errors import UserError

EXPLOSION = 1000.0  # times the largest recent gradient norm
_FADE = 0.999  # per step: what "recent" means


class GradientNorm(NamedTuple):
    """The norm of one phase's gradient, and whether the update must not happen."""

    norm: Tensor
    bad: Tensor


class Incident(NamedTuple):
    """A checked phase, kept until the host looks at it."""

    step: int
    phase: str
    gradient: GradientNorm
    losses: Losses
    batch: Batch
    quiet: bool = False  # overflow is daily work for the loss scaling of fp16


class Guard:
    """Check every gradient on the device; tell the user, and give up when it does not end.

    Args:
        patience: bad steps in a row after which training stops.
        interval: steps between two looks from the host; each look waits for the device.
    """

    def __init__(self, patience: int, interval: int = 1) -> None:
        self.patience, self.interval = patience, interval
        self.peaks: dict[str, Tensor] = {}
        self.total = self.streak = 0
        self._waiting: list[list[Incident]] = []

    def check(self, phase: str, norm: Tensor) -> GradientNorm:
        """Return whether a gradient of this norm is unusable, and remember the largest good norm of late."""
        norm = norm.detach()
        peak = self.peaks.get(phase, torch.zeros_like(norm))  # 0 until there has been a good one
        bad = ~torch.isfinite(norm) | ((peak > 0) & (norm > EXPLOSION * peak))
        self.peaks[phase] = torch.maximum(_FADE * peak, torch.where(bad, 0.0, norm))
        return GradientNorm(norm, bad)

    def note(self, step: list[Incident], explain: Callable[[Incident], str]) -> None:
        """Take the checked phases of a step; look at those waiting when enough have come together.

        Raises:
            UserError: ``patience`` bad steps came in a row.
        """
        self._waiting.append(step)
        if len(self._waiting) >= self.interval:
            self.look(explain)

    def look(self, explain: Callable[[Incident], str]) -> None:
        """Wait for the device and report what it found since the last look; raises as :meth:`note`."""
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            bad = next((incident for incident in step if bool(incident.gradient.bad)), None)
            self.streak = self.streak + 1 if bad else 0
            if bad:
                self.total += 1
                if not bad.quiet or self.streak >= self.patience:
                    self._report(explain(bad))

    def _report(self, text: str) -> None:
        if self.streak >= self.patience:
            raise UserError(
                f"{text} ({self.streak} steps in a row, so training stops; go on from the last save with "
                "--continue_train and a smaller --lr, --clip_grad 1 or --precision fp32)"
            )
        print(f"note: {text}", file=sys.stderr)

    def state_dict(self) -> dict[str, Any]:
        """Return what judging depends on."""
        return {"peaks": dict(self.peaks), "total": self.total, "streak": self.streak}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.peaks = {name: value.to(device) for name, value in state["peaks"].items()}
        self.total, self.streak = state["total"], state["streak"]
        self._waiting = []


def nan_unless_finite(buffers: Iterable[Tensor]) -> Tensor | float:
    """Return 0, or NaN when one of these is not finite: norm statistics overflow while losses and gradients do not."""
    statistics = [buffer for buffer in buffers if buffer.is_floating_point() and buffer.numel()]
    if not statistics:
        return 0.0
    return 0 * torch.stack(torch._foreach_norm(statistics, math.inf)).max()
