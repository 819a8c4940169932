"""When and what a training saves: the state, the weight files that follow from it, and which of them stay."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import torch

from models.files import save_networks
from training.best import LABEL
from training.checkpoint import save_state
from training.loggers import Position
from training.phases import generators
from training.settings import SaveOptions
from training.update import Updater
from util.errors import UserError

_NUMBERED = re.compile(r"(iter_)?(\d+)_net_.+\.pth")


class Saver:
    """Writes a training into the folder of its run, on the first of several processes.

    Args:
        updater: that holds the networks.
        folder: of the run.
        options: how often, and how many to keep.
    """

    def __init__(self, updater: Updater, folder: pathlib.Path, options: SaveOptions) -> None:
        self.updater, self.folder, self.options = updater, folder, options
        self.latest: Position | None = None
        self._asked = Position()

    def labels(self, now: Position, epoch_ended: int | None = None, *, last: bool = False) -> list[str]:
        """Return the names of the weight files that have become due since this was last asked.

        Args:
            epoch_ended: the epoch that the last step completed, if it did.
            last: whether that was the last epoch.
        """
        every, before, self._asked = self.options.save_latest_freq, self._asked, now
        due: list[str] = []
        if before.total_iters // every < now.total_iters // every:
            due.append(f"iter_{now.total_iters}" if self.options.save_by_iter else "latest")
        if epoch_ended is not None and (last or epoch_ended % self.options.save_epoch_freq == 0):
            due += ["latest", str(epoch_ended)]
        return list(dict.fromkeys(due))

    def resume(self, position: Position, labels: Sequence[str]) -> None:
        """Write the weight files that follow from a state; a crash after the state's save leaves older ones."""
        self.updater.ranks.first_does(lambda: self.write_weights(labels))
        self._asked = position
        self.latest = position if "latest" in labels else None

    def save(self, position: Position, state: dict[str, Any], labels: Sequence[str]) -> None:
        """Write the state, then the weight files that follow from it; the state knows which, for resuming.

        Raises:
            UserError: weights are not finite, the disk is full or the folder is gone; the save before is intact.
        """
        self._check_finite(position)
        self.updater.ranks.first_does(lambda: self._write(state | {"labels": list(labels)}))
        self.latest = position if "latest" in labels else self.latest

    def _write(self, state: dict[str, Any]) -> None:
        save_state(self.folder, state)
        self.write_weights(state["labels"])

    def _check_finite(self, position: Position) -> None:
        """UserError when weights have become infinite or no numbers; going on from them would be of no use."""
        for name, network in self.updater.model.networks().items():
            if not all(bool(torch.isfinite(weight).all()) for weight in network.parameters()):
                raise UserError(
                    f"step {position.step}: weights of {name} are not finite, so they are not saved; go on from the "
                    "save before with --continue_train, or begin again, with a smaller --lr or --weight_decay"
                )

    def write_weights(self, labels: Sequence[str]) -> None:
        """Write the networks once for every label, the averages beside them, and remove what is too old."""
        networks = self.updater.model.networks()
        for label in labels:
            save_networks(networks, self.folder, label)
        if self.updater.has_average:
            makers = {f"{name}_ema": network for name, network in generators(self.updater.model).items()}
            with self.updater.averaged():
                for label in labels:
                    save_networks(makers, self.folder, label)
        if self.options.keep_checkpoints is not None:
            prune(self.folder, self.options.keep_checkpoints)

    def save_best(self, *, averaged: bool) -> None:
        """Write the networks as the best ones, with averaged weights when it is those that were best."""
        with self.updater.averaged() if averaged else contextlib.nullcontext():
            save_networks(self.updater.model.networks(), self.folder, LABEL)


def prune(folder: pathlib.Path, keep: int) -> None:
    """Delete the weights of all but the newest ``keep`` epochs, and of all but the newest ``keep`` iter_N."""
    found: dict[str, dict[int, list[pathlib.Path]]] = {}
    for path in folder.glob("*_net_*.pth"):
        match = _NUMBERED.fullmatch(path.name)
        if match:
            found.setdefault(match[1] or "", {}).setdefault(int(match[2]), []).append(path)
    for series in found.values():
        for number in sorted(series)[:-keep]:
            for path in series[number]:
                path.unlink(missing_ok=True)
