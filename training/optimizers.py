"""One optimizer per player, with everything that happens between a gradient and new weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from training.settings import OptimizerOptions
from util.errors import UserError


class Optimizer:
    """Adam (Kingma and Ba 2015) or AdamW (Loshchilov and Hutter 2019), fused, with clipping and weight penalties.

    Its state exists from the start, so that no failure can leave it half made. It calls torch's Adam as a function: the
    class would import the compiler, a second at the start.

    Args:
        parameters: weights that it updates.
        options: rates, decay, penalties and clipping.
        rate: initial learning rate.

    Attributes:
        rate: the present learning rate.
        weight_decay: of weights; scales and shifts of norms, and biases, have none.
        moments: of each weight, in the order of its memory, with the number of its updates.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], options: OptimizerOptions, rate: float) -> None:
        self.parameters, self.options, self.initial_rate = list(parameters), options, rate
        self.rate, self.weight_decay = rate, options.weight_decay
        self._stored = [_as_stored(parameter) for parameter in self.parameters]
        self.moments = [_moments(stored) for stored in self._stored]

    def set_rate(self, factor: float) -> float:
        """Set the learning rate to ``factor`` times the initial one; return it."""
        self.rate = self.initial_rate * factor
        return self.rate

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The weights whose gradients a ``GradScaler`` looks at."""
        return [{"params": self._stored}]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter, stored in zip(self.parameters, self._stored, strict=True):
            parameter.grad = stored.grad = None

    def unscale(self, scaler: torch.amp.GradScaler) -> None:
        """Divide the gradients by the loss scale, and let the scaler adapt it."""
        self._show_gradients()
        scaler.unscale_(self)  # type: ignore[arg-type]  # which reads param_groups alone
        scaler.update()

    def _show_gradients(self) -> None:
        for parameter, stored in zip(self.parameters, self._stored, strict=True):
            stored.grad = None if parameter.grad is None else _as_stored(parameter.grad, parameter)

    def gradients(self) -> list[Tensor]:
        """Return the gradients; weights that the loss does not reach have none."""
        return [p.grad for p in self.parameters if p.grad is not None]

    def norm(self) -> Tensor:
        """Return the Euclidean norm of all gradients, a scalar on their device."""
        return torch.nn.utils.get_total_norm(self.gradients())

    def step(self, norm: Tensor, skip: Tensor | None = None) -> None:
        """Update the weights.

        Args:
            norm: of the gradients.
            skip: on the device; where true nothing changes, without waiting for it.
        """
        if self.options.weight_l1:
            for parameter in self.parameters:
                if parameter.grad is not None and parameter.ndim >= 2:
                    parameter.grad.add_(parameter.detach().sign(), alpha=self.options.weight_l1)
        if self.options.agc:
            from timm.utils.agc import adaptive_clip_grad

            adaptive_clip_grad(self.parameters, self.options.agc)
        if self.options.agc or self.options.weight_l1:
            norm = self.norm()
        if self.options.clip_grad:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.options.clip_grad, norm)
        self._show_gradients()
        self._update(lambda stored: stored.ndim >= 2, self.weight_decay, skip)
        self._update(lambda stored: stored.ndim < 2, 0.0, skip)

    @torch.no_grad()
    def _update(self, chosen: Callable[[Tensor], bool], decay: float, skip: Tensor | None) -> None:
        """Let Adam update the chosen weights that have a gradient."""
        rows = [
            (stored, stored.grad, moments["exp_avg"], moments["exp_avg_sq"], moments["step"])
            for stored, moments in zip(self._stored, self.moments, strict=True)
            if chosen(stored) and stored.grad is not None
        ]
        if not rows:
            return
        weights, gradients, first, second, steps = (list(column) for column in zip(*rows, strict=True))
        adam(
            weights,
            gradients,
            first,
            second,
            [],
            steps,
            fused=True,
            found_inf=None if skip is None else skip.float(),
            decoupled_weight_decay=self.options.optimizer == "adamw",
            amsgrad=False,
            beta1=self.options.beta1,
            beta2=self.options.beta2,
            lr=self.rate,
            weight_decay=decay,
            eps=1e-8,
            maximize=False,
        )

    def tensors(self) -> list[Tensor]:
        """Return all that a step changes: weights and moments."""
        moments = [value for state in self.moments for value in state.values()]
        return [*(parameter.detach() for parameter in self.parameters), *moments]

    def state_dict(self) -> dict[str, Any]:
        """Return the moments in the order and shapes of the weights; the trainer sets the rates."""
        return {
            "state": {
                index: {name: _as_shaped(value, parameter) for name, value in moments.items()}
                for index, (parameter, moments) in enumerate(zip(self.parameters, self.moments, strict=True))
            }
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy saved moments into place, whatever memory layout the weights have here.

        Raises:
            UserError: they belong to other weights.
        """
        saved = [state["state"][index]["exp_avg"].shape for index in sorted(state["state"])]
        if saved != [parameter.shape for parameter in self.parameters]:
            raise UserError("--continue_train: the saved run trains other weights; give the --freeze that it was given")
        for index, parameter in enumerate(self.parameters):
            for name, value in state["state"].get(index, {}).items():
                _as_shaped(self.moments[index][name], parameter).copy_(value)


def _moments(stored: Tensor) -> dict[str, Tensor]:
    """Return the state of a weight before its first update, written, so that its memory is taken now."""
    moments = {name: torch.empty_like(stored).zero_() for name in ("exp_avg", "exp_avg_sq")}
    return {"step": torch.zeros((), dtype=torch.float32, device=stored.device)} | moments


def is_channels_last(tensor: Tensor) -> bool:
    """Return whether the channels of (N,C,H,W) lie side by side in memory."""
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def _as_stored(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """Return a view in the order of the memory of ``like``: the fused kernel copies what is not contiguous."""
    plain = tensor.detach()
    return plain.permute(0, 2, 3, 1) if is_channels_last(tensor if like is None else like) else plain


def _as_shaped(tensor: Tensor, like: Tensor) -> Tensor:
    """Return the view of :func:`_as_stored` in the shape of the weights; scalars stay."""
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 and is_channels_last(like) else tensor
