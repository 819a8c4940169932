"""TensorBoard files in the run's folder, for those who ask for them by ``--use_tensorboard``."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from training.loggers.base import Position, RunInfo, SilentLogger, Times
from util.errors import UserError

FOLDER = "tensorboard"


class TensorBoardLogger(SilentLogger):
    """Write losses and pictures to ``<run_dir>/tensorboard``; the x axis is the images of the whole training.

    A resumed training goes on in the same curves: what was written after its checkpoint is purged.

    Raises:
        UserError: the package is not installed.
    """

    slow = True

    def __init__(self) -> None:
        try:
            importlib.import_module("tensorboard")
        except ImportError:
            raise UserError(
                "--use_tensorboard needs the package tensorboard: pip install tensorboard, or leave the flag out"
            ) from None
        self._writer: Any = None

    def start(self, info: RunInfo) -> None:
        """Open the files, and write the options as text."""
        from torch.utils.tensorboard import SummaryWriter

        begin = info.start.total_iters
        self._writer = SummaryWriter(str(info.run_dir / FOLDER), purge_step=begin + 1 if info.resumed else None)
        if not info.resumed:
            lines = [f"| `--{name}` | `{value}` |" for name, value in sorted(info.options.items())]
            self._writer.add_text("options", "\n".join(["| option | value |", "|---|---|", *lines]), begin)

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Write the losses, the learning rate and the epoch; what is not finite leaves a gap."""
        rate = {} if times.lr is None else {"lr": times.lr}
        for name, value in {**losses, **rate, "epoch": float(position.epoch)}.items():
            if math.isfinite(value):
                self._writer.add_scalar(_tag(name), value, position.total_iters)
        self._writer.flush()

    def visuals(self, position: Position, visuals: dict[str, np.ndarray], *, save: bool) -> None:
        """Write the pictures."""
        for label, picture in visuals.items():
            layout = "HW" if picture.ndim == 2 else "HWC"
            self._writer.add_image(f"images/{label}", picture, position.total_iters, dataformats=layout)
        self._writer.flush()

    def close(self) -> None:
        """Finish the files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _tag(name: str) -> str:
    """Return a name under a heading: TensorBoard folds what stands before the slash."""
    if name in ("lr", "epoch"):
        return f"training/{name}"
    return f"validation/{name.removeprefix('val_')}" if name.startswith("val_") else f"losses/{name}"
