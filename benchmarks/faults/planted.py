"""Faults inside a step: numbers that are none, and memory that runs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Disturb = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
Plant = Callable[[], None]


def nan_in_step(step: int) -> Plant:
    """Return a function that makes the generators' loss NaN in one step of the process that calls it."""
    return lambda: _plant(step, lambda _batch, losses: {name: value * float("nan") for name, value in losses.items()})


def no_memory_in_step(step: int, largest: int) -> Plant:
    """Return a function that lets memory run out in one step, for batches of more than ``largest`` images."""

    def disturb(batch: dict[str, Any], losses: dict[str, Any]) -> dict[str, Any]:
        if len(batch["A"]) > largest:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate much")
        return losses

    return lambda: _plant(step, disturb)


def _plant(step: int, disturb: Disturb) -> None:
    """Wrap the update step, to know its number, and every method's loss of the generators."""
    from models import MODELS
    from training.update import Updater

    present: list[int] = [-1]
    make_step = Updater.step

    def numbered(self: Updater, batch: Any, number: int) -> Any:
        present[0] = number
        return make_step(self, batch, number)

    setattr(Updater, "step", numbered)  # noqa: B010 - type checkers forbid the plain form
    for name in ("pix2pix", "cycle_gan"):
        model: Any = MODELS.get(name)
        model.loss_G = _disturbed(model.loss_G, lambda: present[0] == step, disturb)


def _disturbed(loss: Callable[..., Any], is_now: Callable[[], bool], disturb: Disturb) -> Callable[..., Any]:
    def wrapped(self: Any, batch: Any, images: Any) -> Any:
        losses = loss(self, batch, images)
        return disturb(batch, losses) if is_now() else losses

    return wrapped
