"""How long the whole training will take, told before step 1, and a smaller command when that is too long."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from training.loggers.text import duration

LIMIT_SECONDS = 3 * 86400.0


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Seconds that the training still needs, and what it was computed from."""

    seconds: float
    step_seconds: float
    steps: int

    @classmethod
    def measure(cls, step_seconds: Sequence[float], steps: int) -> Estimate:
        """Estimate ``steps`` more steps from a few measured ones; the first is left out as warm-up if it can be."""
        steady = statistics.median(step_seconds[1:] or step_seconds)
        return cls(steady * steps, steady, steps)

    def line(self) -> str:
        """Return the line to print before step 1."""
        each = f"{self.step_seconds:.3g} s" if self.step_seconds >= 0.1 else f"{self.step_seconds * 1000:.3g} ms"
        return f"estimated total: {duration(self.seconds)} ({self.steps:,} steps of {each})"


def smaller_command(estimate: Estimate, flags: Mapping[str, Any], command: str) -> str | None:
    """Return one line with a command that takes less time, or None when the training is short enough.

    A crop of half the size and a lighter generator are taken first, then fewer epochs for what is still too long.

    Args:
        estimate: of the command as given.
        flags: the resolved ``preprocess``, ``crop_size``, ``load_size``, ``netG``, ``continue_train``, ``n_epochs``,
            ``n_epochs_decay``; missing ones are left alone.
        command: the command as given; the new flags are appended, so they win.
    """
    seconds, changes = estimate.seconds, dict[str, Any]()
    for lighter, factor in (_smaller_crop(flags), _lighter_network(flags)):
        if seconds > LIMIT_SECONDS and lighter:
            changes.update(lighter)
            seconds *= factor
    if seconds > LIMIT_SECONDS:
        fewer, factor = _fewer_epochs(flags, LIMIT_SECONDS / seconds)
        changes.update(fewer)
        seconds *= factor
    added = " ".join(f"--{name} {value}" for name, value in changes.items())
    return f"to finish in about {duration(seconds)}: {command} {added}" if added else None


def _smaller_crop(flags: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """Halve a crop that stays a multiple of 256, which every generator takes, where images are cropped at all."""
    crop, load = flags.get("crop_size"), flags.get("load_size")
    if not crop or not load or crop % 512 or "crop" not in flags.get("preprocess", "crop"):
        return {}, 1.0
    return {"load_size": load // 2, "crop_size": crop // 2}, 0.25


def _lighter_network(flags: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    """Take six residual blocks for nine, unless resuming; a U-Net of fewer levels would hardly be faster."""
    heavy = flags.get("netG") == "resnet_9blocks" and not flags.get("continue_train")
    return ({"netG": "resnet_6blocks"}, 0.75) if heavy else ({}, 1.0)


def _fewer_epochs(flags: Mapping[str, Any], share: float) -> tuple[dict[str, Any], float]:
    """Shorten both halves of the schedule to ``share`` of their epochs, at least one each."""
    both = [flags.get("n_epochs", 0), flags.get("n_epochs_decay", 0)]
    fewer = [max(1, math.floor(count * share)) if count else 0 for count in both]
    factor = sum(fewer) / (sum(both) or 1)
    return ({"n_epochs": fewer[0], "n_epochs_decay": fewer[1]}, factor) if 0 < factor < 1 else ({}, 1.0)
