"""How much memory a training needs, found out from one sample."""

from __future__ import annotations

from models.base import Batch
from training.memory import MemoryNeed, Saved, process_memory
from training.parts import select
from training.rehearsal import rehearse
from training.update import Updater


def memory_need(updater: Updater, batch: Batch) -> MemoryNeed:
    """Return what training needs, from a look at the first sample of a batch; no weight changes."""
    weights = [weight for optimizer in updater.optimizers.values() for weight in optimizer.parameters]
    gradients = sum(weight.numel() * weight.element_size() for weight in weights)
    casts = sum(2 * weight.numel() for weight in weights) if updater.compute.halves else 0
    fixed = process_memory(updater.device)
    sample = select(batch, slice(0, 1), len(batch["A"])) | {"total": 1, "counts": [1]}
    return MemoryNeed(fixed, gradients + _copies(updater), casts, max(0, _kept(updater, sample) - casts))


def _copies(updater: Updater) -> int:
    """Return the bytes of weights and moments that a later phase of the step may take back."""
    if not updater.undoes:
        return 0
    return sum(t.nbytes for phase in updater.phases[:-1] for t in updater.optimizers[phase.name].tensors())


def _kept(updater: Updater, batch: Batch) -> int:
    """Return the bytes that all phases of a step keep for backward; an upper bound of what lives at a time."""
    with Saved(updater.model.parameters()) as saved:
        rehearse(updater, batch)
    return saved.bytes
