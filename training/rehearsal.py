"""A step that changes nothing: to learn beforehand how long steps take, and how much memory."""

from __future__ import annotations

import time
from collections.abc import Iterator

from models.base import Batch, Losses
from training.phases import unscaled
from training.transaction import Transaction
from training.update import Updater

_ENOUGH_SECONDS, _MOST = 0.5, 10


def rehearse(updater: Updater, batch: Batch) -> Losses:
    """Compute the gradients of all players, as in a step, and forget them; return the losses.

    Weights, moments, norm statistics and image histories are what they were before.
    """
    losses: Losses = {}
    transaction = Transaction(updater.model, updater.runner, keeps_weights=False)
    transaction.begin_phase()
    work = updater.open(batch, 0, updater.phases)
    for phase in updater.phases:
        losses |= updater.runner.run(phase, work, transaction.buffers, unscaled)
        updater.optimizers[phase.name].zero_grad()
        work.graph = None if phase.through_images else work.graph
    transaction.take_back(whole=False)
    return losses


def step_seconds(updater: Updater, batches: Iterator[Batch]) -> list[float]:
    """Return how long some steps take without the update of the weights, which is a few per cent.

    These are two, or more where they are short; the first is one of warming up.
    """
    seconds: list[float] = []
    while len(seconds) < 2 or (sum(seconds) < _ENOUGH_SECONDS and len(seconds) < _MOST):
        batch = next(batches, None)
        if batch is None:
            break
        began = time.perf_counter()
        losses = rehearse(updater, batch)
        [value.item() for value in losses.values()]  # wait for the device
        seconds.append(time.perf_counter() - began)
    return seconds
