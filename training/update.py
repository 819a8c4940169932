"""One update step: in which order phases run, and what becomes of their gradients.

Methods stay pure: every device decision is made here and in ``training/phases.py``. A step is a transaction: what a
phase changes beside weights (norm statistics, image histories) counts only once its gradient has been checked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from models.base import Batch, Losses, Phase, TranslationModel
from models.networks.dropout import Dropout
from models.networks.norms import synchronise_batch_norm
from training.diagnosis import Diagnosis
from training.ema import WeightAverage
from training.few_pixels import multiply_where_few
from training.guards import Guard, Incident, nan_unless_finite
from training.memory import recompute_activations
from training.optimizers import Optimizer
from training.parts import StepBatch, fit_sizes
from training.phases import PhaseRunner, generators, unscaled
from training.pool import ImagePool
from training.ranks import Ranks
from training.settings import OptimizerOptions, StepOptions
from training.transaction import Transaction
from training.undo import Undo
from util.device import Compute
from util.errors import UserError
from util.noise import mix

_LOOK_EVERY = 10  # steps, where looking means waiting for the device


class Updater:
    """Networks, optimizers and image pools, advanced by one batch at a time.

    Args:
        model: the method, prepared for training, placed by ``compute``.
        options: of the optimizers, pools and averages.
        step_options: of memory and bad numbers.
        seed: dropout, noise and pool draws of step k depend on (seed, k) and the samples alone.
        compute: device and arithmetic.
        ranks: the processes that share every batch.

    Attributes:
        undoes: whether a bad phase takes back what earlier ones of its step have updated.
    """

    def __init__(
        self,
        model: TranslationModel,
        options: OptimizerOptions,
        step_options: StepOptions,
        seed: int,
        compute: Compute,
        ranks: Ranks | None = None,
    ) -> None:
        self.model, self.options, self.step_options = model, options, step_options
        self.seed, self.compute = seed, compute
        self.ranks, self.phases = ranks or Ranks(), tuple(model.phases())
        _check_parts(step_options.accumulate, self.phases)
        _prepare(model, self.ranks, step_options)
        if compute.device.type == "cpu":
            multiply_where_few(model.networks().values())
        self.optimizers = {phase.name: self._optimizer(phase) for phase in self.phases}
        self.average = WeightAverage(generators(model), options.ema_decay) if options.ema_decay else None
        weights = {name: optimizer.parameters for name, optimizer in self.optimizers.items()}
        self.runner = PhaseRunner(model, weights, compute, self.ranks, seed, options.pool_size)
        stops, parts = step_options.on_nan == "stop", step_options.accumulate
        self._diagnosis = Diagnosis(model, self.runner, parts=parts, stops=stops)
        self.undoes = step_options.on_nan != "skip"
        self._host_decides = compute.device.type == "cpu" or self.undoes
        self.guard = Guard(step_options.nan_patience, 1 if self._host_decides else _LOOK_EVERY)
        scaled = self.phases if compute.scales else ()
        self._scalers = {phase.name: torch.amp.GradScaler(compute.device.type) for phase in scaled}
        self._last: Losses = {}

    def _optimizer(self, phase: Phase) -> Optimizer:
        networks = self.model.networks()
        parameters = [p for name in phase.networks for p in networks[name].parameters() if p.requires_grad]
        rate = self.options.lr if phase.through_images or self.options.lr_D is None else self.options.lr_D
        return Optimizer(parameters, self.options, rate)

    @property
    def pools(self) -> dict[str, ImagePool]:
        """The histories of generated images, by label."""
        return self.runner.pools

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.compute.device

    def step(self, batch: Batch, step: int) -> Losses:
        """Update every network once on ``batch``; return the named losses, detached, still on the device.

        Raises:
            UserError: memory does not suffice for one sample, or too many steps in a row were bad.
        """
        torch.manual_seed(mix(self.seed, step, "noise"))
        phases = self._due(step)
        work = self.open(batch, step, phases)
        transaction = Transaction(self.model, self.runner, keeps_weights=self.undoes)
        incidents: list[Incident] = []
        learned = False
        for phase in phases:
            transaction.begin_phase()
            incidents.append(self._compute(phase, work, transaction.buffers))
            if self._host_decides and bool(incidents[-1].gradient.bad):
                transaction.take_back(whole=self.undoes)
                if self.undoes:
                    learned = False
                    break
                continue
            transaction.keep(self.optimizers[phase.name], last=phase is phases[-1])
            self._apply(phase, incidents[-1], transaction)
            learned |= phase.through_images
            work.graph = None if phase.through_images else work.graph  # its weights have changed
        if self.average and learned:
            self.average.update()
        self.model.end_step(self.ranks.sum)
        told = self._tell(incidents)
        self.guard.note(incidents, self._diagnosis.explain)
        return told

    def _due(self, step: int) -> list[Phase]:
        """Return the phases of this step: the generators' only in every ``d_steps``-th one."""
        others = any(not phase.through_images for phase in self.phases)
        makes = (step + 1) % self.options.d_steps == 0 or not others
        return [phase for phase in self.phases if makes or not phase.through_images]

    def open(self, batch: Batch, step: int, phases: Sequence[Phase]) -> StepBatch:
        """Return a batch as the phases of a step take it: on the device, of sizes that fit, in parts."""
        moved = {key: self.compute.image(v) if isinstance(v, Tensor) else v for key, v in batch.items()}
        shared = any(phase.through_images for phase in phases)
        fitted = self.ranks.all_do(lambda: fit_sizes(moved, self.model.size_multiple, self.model.scale))
        return self.runner.open(fitted, step, self.step_options.accumulate, shared)

    def _compute(self, phase: Phase, work: StepBatch, before: Undo) -> Incident:
        """Compute a phase's gradients and look at their norm."""
        optimizer, scaler = self.optimizers[phase.name], self._scalers.get(phase.name)
        losses = self.runner.run(phase, work, before, scaler.scale if scaler else unscaled)
        if scaler:
            optimizer.unscale(scaler)
        gradient = self.guard.check(phase.name, optimizer.norm() + nan_unless_finite(self.model.buffers()))
        return Incident(work.step, phase.name, gradient, losses, work.batch, quiet=scaler is not None)

    def _apply(self, phase: Phase, incident: Incident, transaction: Transaction) -> None:
        norm, bad = incident.gradient
        self.optimizers[phase.name].step(norm, skip=None if self._host_decides else bad)
        if not self._host_decides:
            transaction.buffers.restore(where=bad)

    def _tell(self, incidents: Sequence[Incident]) -> Losses:
        """Return the losses, those of bad phases as they were before, so that means and curves stay finite."""
        told = {
            name: torch.where(incident.gradient.bad, self._last.get(name, torch.zeros_like(value)), value)
            for incident in incidents
            for name, value in incident.losses.items()
        }
        self._last = self._last | told
        return told

    def set_rate(self, factor: float) -> float:
        """Set every learning rate to ``factor`` times its initial one; return the generators' rate."""
        rates = {phase: self.optimizers[phase.name].set_rate(factor) for phase in self.phases}
        return next((rate for phase, rate in rates.items() if phase.through_images), self.options.lr * factor)

    @property
    def has_average(self) -> bool:
        """Whether running averages of the generators' weights are kept."""
        return self.average is not None

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the generators hold their averaged weights inside; without averages nothing changes."""
        with self.average.in_place() if self.average else contextlib.nullcontext():
            yield

    def state_dict(self) -> dict[str, Any]:
        """Return everything a step depends on beside the batch and its number, in plain types."""
        self.guard.look(self._diagnosis.explain)
        return {
            "networks": self.model.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "pools": {name: pool.state_dict() for name, pool in self.pools.items()},
            "guard": self.guard.state_dict(),
            "halvings": self.runner.halvings,
            "last": dict(self._last),
            "average": self.average.state_dict() if self.average else None,
            "scalers": {name: scaler.state_dict() for name, scaler in self._scalers.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; the given tensors are copied, never aliased."""
        if state["networks"].keys() != self.model.state_dict().keys():
            raise UserError(
                "--continue_train: the saved run has other networks; leave out --lambda_GAN, --lambda_cycle, --netD "
                "and --augment"
            )
        self.model.load_state_dict(state["networks"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, pool in self.pools.items():
            pool.load_state_dict(state["pools"][name], self.device)
        for name, scaler in self._scalers.items():
            scaler.load_state_dict(state["scalers"].get(name, scaler.state_dict()))
        self.guard.load_state_dict(state["guard"], self.device)
        self.runner.halvings = state["halvings"]
        self._last = {name: value.to(self.device) for name, value in state["last"].items()}
        if self.average and state["average"]:
            self.average.load_state_dict(state["average"])


def _check_parts(parts: int, phases: Sequence[Phase]) -> None:
    """UserError when batches are to be computed in parts, but a loss looks at all of the batch."""
    if parts > 1 and not all(phase.divisible for phase in phases):
        raise UserError(
            f"--accumulate {parts}: this --gan_mode compares with the mean over the whole batch; "
            "use --gan_mode relativistic, or --accumulate 1"
        )


def _prepare(model: TranslationModel, ranks: Ranks, options: StepOptions) -> None:
    """Let batch norm count the samples of all processes, dropout draw by its place, and activations be recomputed."""
    if ranks.count > 1:
        synchronise_batch_norm(model)
    if options.checkpoint_activations:
        recompute_activations(generators(model).values())
    for name, module in model.named_modules():
        if isinstance(module, Dropout):
            module.stream = name
