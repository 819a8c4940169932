"""Weights & Biases, for those who ask for it by ``--use_wandb``."""

from __future__ import annotations

import importlib
import os
import pathlib
import secrets
from typing import Any

import numpy as np

from training.loggers.base import Position, RunInfo, SilentLogger, Times
from util.errors import UserError
from util.files import write_text


class WandbLogger(SilentLogger):
    """Send losses and images to a Weights & Biases project.

    The x axis is ``total_iters``: W&B's own step cannot go back to a checkpoint, and would lose what follows it.

    Raises:
        UserError: the package is not installed, or nobody is logged in and no terminal is there to ask at.
    """

    slow = True

    def __init__(self, project: str) -> None:
        try:
            self._wandb: Any = importlib.import_module("wandb")
        except ImportError:
            raise UserError("--use_wandb needs the package wandb: pip install wandb, or leave the flag out") from None
        _log_in(self._wandb)
        self._project = project
        self._run: Any = None

    def start(self, info: RunInfo) -> None:
        """Open a run, resuming the one of the same name and folder."""
        config = {name: str(value) for name, value in info.options.items()}
        self._run = self._wandb.init(
            project=self._project,
            name=info.name,
            config=config,
            id=_run_id(info.run_dir / "wandb_id.txt"),
            resume="allow",
            dir=str(info.run_dir),
        )
        self._run.define_metric("*", step_metric="total_iters")

    def losses(self, position: Position, losses: dict[str, float], times: Times) -> None:
        """Send the losses, the learning rate and the epoch."""
        rate = {} if times.lr is None else {"lr": times.lr}
        self._run.log({**losses, **rate, "epoch": position.epoch, "total_iters": position.total_iters})

    def visuals(self, position: Position, visuals: dict[str, np.ndarray], *, save: bool) -> None:
        """Send the images."""
        images = {label: self._wandb.Image(image) for label, image in visuals.items()}
        self._run.log({**images, "total_iters": position.total_iters})

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


def _run_id(path: pathlib.Path) -> str:
    """Return the id kept in the run's folder, a new one at first; a resumed training finds its W&B run by it."""
    if not path.is_file():
        write_text(path, secrets.token_hex(8))
    return path.read_text(encoding="utf-8")


def _log_in(wandb: Any) -> None:
    """Ask for a key now, if at all, rather than in the middle of the training."""
    if os.environ.get("WANDB_MODE", "online") != "online":
        return
    try:
        wandb.login()
    except wandb.errors.UsageError:
        raise UserError("--use_wandb: nobody is logged in; run `wandb login`, or set WANDB_MODE=offline") from None
