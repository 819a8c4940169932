"""A step as a transaction."""

from __future__ import annotations

from models.base import TranslationModel
from training.optimizers import Optimizer
from training.phases import PhaseRunner
from training.undo import Undo


class Transaction:
    """What a step has changed so far, to be taken back when a gradient turns out bad.

    Args:
        model: whose norm statistics change.
        runner: whose image histories change.
        keeps_weights: whether weights that have been updated may have to be taken back too.
    """

    def __init__(self, model: TranslationModel, runner: PhaseRunner, *, keeps_weights: bool) -> None:
        self._model, self._runner, self._keeps_weights = model, runner, keeps_weights
        self._pools = {name: pool.copy() for name, pool in runner.pools.items()}
        self._changed: list[Undo] = []

    def begin_phase(self) -> None:
        """Remember the buffers as they are before a phase."""
        self.buffers = Undo(self._model.buffers())
        self._changed = self._changed or [self.buffers]

    def keep(self, optimizer: Optimizer, last: bool) -> None:
        """Remember weights and moments before they are updated, when a later phase may take them back.

        What an earlier phase of the step has updated already is kept as it was before that.
        """
        if self._keeps_weights and not last:
            kept = {tensor.data_ptr() for undo in self._changed for tensor in undo.tensors}
            self._changed.append(Undo(tensor for tensor in optimizer.tensors() if tensor.data_ptr() not in kept))

    def take_back(self, whole: bool) -> None:
        """Undo the phase's traces in norm statistics and histories, or the ``whole`` step, exactly."""
        self.buffers.restore()
        self._runner.pools = {name: pool.copy() for name, pool in self._pools.items()}
        for undo in self._changed if whole else ():
            undo.restore()
