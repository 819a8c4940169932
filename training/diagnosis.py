"""Where numbers stopped being finite: a bad phase again, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from models.base import Batch, Phase, TranslationModel
from training.guards import Incident
from training.parts import Part
from training.phases import PhaseRunner
from training.undo import Undo
from util.errors import UserError
from util.noise import sample_noise


class Diagnosis:
    """Explains bad phases by repeating them on all processes, which leaves no trace.

    Args:
        model: the method.
        runner: which ran its phases.
        parts: into how many batches are cut.
        stops: whether a bad phase ends the training.
    """

    def __init__(self, model: TranslationModel, runner: PhaseRunner, *, parts: int, stops: bool) -> None:
        self._model, self._runner, self._parts, self._stops = model, runner, parts, stops

    def explain(self, incident: Incident) -> str:
        """Return one line about a bad phase; UserError with it where that ends the training."""
        buffers, ranks = Undo(self._model.buffers()), self._runner.ranks
        found = ranks.gather_rows({ranks.rank: self._find(incident)})
        buffers.restore()
        place, files = next((pair for pair in found.values() if pair[0]), found[0])
        text = _line(incident, place or _first_bad_gradient(self._model.networks()), files)
        if self._stops:
            raise UserError(f"{text}; --on_nan stop ends the training, saved as before this step")
        return text

    def _find(self, incident: Incident) -> tuple[str, list[str]]:
        """Return what first was not finite in this process's share, empty if nothing was, and the files concerned."""
        phase = next(phase for phase in self._model.phases() if phase.name == incident.phase)
        for part in self._runner.open(incident.batch, incident.step, self._parts, shared=False).parts():
            place = _bad_input(part.batch) or self._first_bad_place(phase, part)
            if place:
                return place, _culprits(part.batch)
        return "", _culprits(incident.batch)

    def _first_bad_place(self, phase: Phase, part: Part) -> str:
        def repeat() -> None:
            with sample_noise(part.seeds), self._runner.compute.autocast():
                phase.loss(part.batch, self._model(part.batch))

        networks = self._model.networks()
        return _first_bad_layer(networks, repeat) or _first_bad_statistic(networks)


def _line(incident: Incident, layer: str, files: Sequence[str]) -> str:
    """Return one line that names the step, the loss, the layer and the input files."""
    norm = float(incident.gradient.norm)
    kind = f"the gradient exploded (norm {norm:.3g})" if math.isfinite(norm) else "not finite"
    losses = [name for name, value in incident.losses.items() if not math.isfinite(float(value))]
    found = "norm statistics" if "norm statistics" in layer else "gradient"
    where = f"loss {', '.join(losses)} is {kind}" if losses and not math.isfinite(norm) else f"{found}: {kind}"
    parts = [f"step {incident.step + 1}, {incident.phase}: {where}", layer, f"files {', '.join(files[:4])}"]
    return "; ".join(part for part in parts if part) + "; this update is left out"


def _culprits(batch: Batch) -> list[str]:
    """Return the files of the samples with an input that is not finite; of all samples where there are none."""
    count = len(batch["A"])
    images = [value for value in batch.values() if isinstance(value, Tensor) and len(value) == count]
    bad = [index for index in range(count) if not all(torch.isfinite(image[index]).all() for image in images)]
    chosen = bad or range(count)
    return sorted({str(batch[key][index]) for key in ("A_paths", "B_paths") if key in batch for index in chosen})


def _bad_input(batch: Batch) -> str:
    """Return which input tensor holds a value that is not finite; empty when none does."""
    bad = [key for key, value in batch.items() if isinstance(value, Tensor) and not torch.isfinite(value).all()]
    return f"input {bad[0]} has such pixels" if bad else ""


def _first_bad_layer(networks: Mapping[str, nn.Module], forward: Callable[[], object]) -> str:
    """Return the first layer, in the order of computation, whose output is not finite; empty when none is."""
    found: list[str] = []
    hooks = []
    for name, network in networks.items():
        for path, module in network.named_modules():
            if not any(module.children()):
                hooks.append(module.register_forward_hook(_finder(found, f"{name}.{path}", module)))
    try:
        with torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return f"first in layer {found[0]}" if found else ""


def _finder(found: list[str], path: str, module: nn.Module) -> Callable[..., None]:
    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        if not found and isinstance(output, Tensor) and not torch.isfinite(output).all():
            found.append(f"{path} ({type(module).__name__})")

    return look


def _first_bad_statistic(networks: Mapping[str, nn.Module]) -> str:
    """Return the first norm statistic that is not finite; empty when none is."""
    for name, network in networks.items():
        for path, buffer in network.named_buffers():
            if not torch.isfinite(buffer).all():
                return f"first in the norm statistics {name}.{path}"
    return ""


def _first_bad_gradient(networks: Mapping[str, nn.Module]) -> str:
    """Return the weight nearest to the loss whose gradient is not finite; empty when none is."""
    for name, network in networks.items():
        for path, parameter in reversed(list(network.named_parameters())):
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                return f"first in the gradient of {name}.{path}"
    return ""
