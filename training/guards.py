"""What happens when a loss or gradient is not finite, or explodes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.base import Batch, Losses
from util.errors import UserError

EXPLOSION = 1000.0  # times the largest recent gradient norm
_FADE = 0.999  # per step: what "recent" means


class Verdict(NamedTuple):
    """One phase's gradient norm, and whether the update must not happen."""

    norm: Tensor
    bad: Tensor


class Incident(NamedTuple):
    """A judged phase, kept until the host looks at it."""

    step: int
    phase: str
    verdict: Verdict
    losses: Losses
    batch: Batch
    quiet: bool = False  # overflow is daily work for the loss scaling of fp16


class Guard:
    """Judge every gradient on the device; tell the user, and give up when it does not end.

    Args:
        patience: bad steps in a row after which training stops.
        interval: steps between two looks from the host; each look waits for the device.
    """

    def __init__(self, patience: int, interval: int = 1) -> None:
        self.patience, self.interval = patience, interval
        self.peaks: dict[str, Tensor] = {}
        self.total = self.streak = 0
        self.heeds = True  # False while steps are tried that will come again
        self._waiting: list[list[Incident]] = []

    def judge(self, phase: str, norm: Tensor) -> Verdict:
        """Return whether a gradient of this norm is unusable, and remember the largest good norm of late."""
        norm = norm.detach()
        peak = self.peaks.get(phase, torch.zeros_like(norm))  # 0 until there has been a good one
        bad = ~torch.isfinite(norm) | ((peak > 0) & (norm > EXPLOSION * peak))
        self.peaks[phase] = torch.maximum(_FADE * peak, torch.where(bad, 0.0, norm))
        return Verdict(norm, bad)

    def note(self, step: list[Incident], explain: Callable[[Incident], str]) -> None:
        """Take the judged phases of a step; look at those waiting when enough have come together.

        Raises:
            UserError: ``patience`` bad steps came in a row.
        """
        if self.heeds:
            self._waiting.append(step)
        if len(self._waiting) >= self.interval:
            self.look(explain)

    def look(self, explain: Callable[[Incident], str]) -> None:
        """Wait for the device and report what it found since the last look; raises as :meth:`note`."""
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            bad = next((incident for incident in step if bool(incident.verdict.bad)), None)
            self.streak = self.streak + 1 if bad else 0
            if bad:
                self.total += 1
                if not bad.quiet or self.streak >= self.patience:
                    self._report(explain(bad))

    def _report(self, text: str) -> None:
        if self.streak >= self.patience:
            raise UserError(
                f"{text} ({self.streak} steps in a row, so training stops; go on from the last save with "
                "--continue_train and a smaller --lr, --clip_grad 1 or --precision fp32)"
            )
        print(f"note: {text}", file=sys.stderr)

    def state_dict(self) -> dict[str, Any]:
        """Return what judging depends on."""
        return {"peaks": dict(self.peaks), "total": self.total, "streak": self.streak}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.peaks = {name: value.to(device) for name, value in state["peaks"].items()}
        self.total, self.streak = state["total"], state["streak"]
        self._waiting = []


def explain(incident: Incident, layer: str, files: Sequence[str]) -> str:
    """Return one line that names the step, the loss, the layer and the input files."""
    norm = float(incident.verdict.norm)
    kind = f"the gradient exploded (norm {norm:.3g})" if math.isfinite(norm) else "not finite"
    losses = [name for name, value in incident.losses.items() if not math.isfinite(float(value))]
    found = "norm statistics" if "norm statistics" in layer else "gradient"
    where = f"loss {', '.join(losses)} is {kind}" if losses and not math.isfinite(norm) else f"{found}: {kind}"
    parts = [f"step {incident.step + 1}, {incident.phase}: {where}", layer, f"files {', '.join(files[:4])}"]
    return "; ".join(part for part in parts if part) + "; this update is left out"


def culprits(batch: Batch) -> list[str]:
    """Return the files of the samples with an input that is not finite; of all samples where there are none."""
    count = len(batch["A"])
    images = [value for value in batch.values() if isinstance(value, Tensor) and len(value) == count]
    bad = [index for index in range(count) if not all(torch.isfinite(image[index]).all() for image in images)]
    chosen = bad or range(count)
    return sorted({str(batch[key][index]) for key in ("A_paths", "B_paths") if key in batch for index in chosen})


def bad_input(batch: Batch) -> str:
    """Return which input tensor holds a value that is not finite; empty when none does."""
    bad = [key for key, value in batch.items() if isinstance(value, Tensor) and not torch.isfinite(value).all()]
    return f"input {bad[0]} has such pixels" if bad else ""


def first_bad_layer(networks: Mapping[str, nn.Module], forward: Callable[[], object]) -> str:
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


def doubt(buffers: Iterable[Tensor]) -> Tensor | float:
    """Return 0, or NaN when one of these is not finite: norm statistics overflow while losses and gradients do not."""
    statistics = [buffer for buffer in buffers if buffer.is_floating_point() and buffer.numel()]
    if not statistics:
        return 0.0
    return 0 * torch.stack(torch._foreach_norm(statistics, math.inf)).max()


def first_bad_statistic(networks: Mapping[str, nn.Module]) -> str:
    """Return the first norm statistic that is not finite; empty when none is."""
    for name, network in networks.items():
        for path, buffer in network.named_buffers():
            if not torch.isfinite(buffer).all():
                return f"first in the norm statistics {name}.{path}"
    return ""


def first_bad_gradient(networks: Mapping[str, nn.Module]) -> str:
    """Return the weight nearest to the loss whose gradient is not finite; empty when none is."""
    for name, network in networks.items():
        for path, parameter in reversed(list(network.named_parameters())):
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                return f"first in the gradient of {name}.{path}"
    return ""


class Undo:
    """Copies of tensors that a step may change, to take it back exactly.

    Restoring does not count as a change for autograd: norm statistics may stand in a graph that is still to be used,
    but its backward does not read them.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self.tensors = list(tensors)
        self.copies = [tensor.detach().clone() for tensor in self.tensors]

    @torch.no_grad()
    def restore(self, where: Tensor | None = None) -> None:
        """Bring the copied values back; with a device flag only where it is true, without waiting for it."""
        for tensor, copy in zip(self.tensors, self.copies, strict=True):
            tensor.data.copy_(copy if where is None else torch.where(where, copy, tensor))
