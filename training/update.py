"""One update step: how the phases of a method run. Methods stay pure; every device decision is made here."""

from __future__ import annotations

import copy
import functools
import hashlib
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.base import Batch, Images, Losses, Phase, TranslationModel
from training.pool import ImagePool
from training.settings import OptimizerOptions
from util.device import arithmetic
from util.errors import UserError


class Updater:
    """Networks, optimizers and image pools, advanced by one batch at a time.

    Args:
        model: the method, prepared for training, on its device.
        options: of the optimizers and pools.
        seed: dropout, noise and pool draws of step k depend on (seed, k) alone.
        precision: "fp32" or "bf16".
    """

    def __init__(self, model: TranslationModel, options: OptimizerOptions, seed: int, precision: str) -> None:
        self.model, self.seed, self.precision = model, seed, precision
        self.initial_rate = options.lr
        self.phases = tuple(model.phases())
        self.device = next(model.parameters()).device
        self.parameters = {phase.name: _parameters(model, phase) for phase in self.phases}
        self.optimizers = {
            name: torch.optim.Adam(parameters, options.lr, (options.beta1, 0.999), fused=True)
            for name, parameters in self.parameters.items()
        }
        self.pools = {name: ImagePool(options.pool_size) for phase in self.phases for name in phase.history}
        self.size_multiple = max((getattr(n, "size_multiple", 1) for n in model.networks().values()), default=1)
        self._image_networks = {name for phase in self.phases if phase.through_images for name in phase.networks}

    def step(self, batch: Batch, step: int) -> Losses:
        """Update every network once on ``batch``; return the named losses, detached, still on the device."""
        torch.manual_seed(_hash(self.seed, step, "noise"))
        batch = {key: value.to(self.device) if isinstance(value, Tensor) else value for key, value in batch.items()}
        batch = self._fit_sizes(batch)
        images = self._generate(batch)
        detached = {name: image.detach() for name, image in images.items()}
        losses: Losses = {}
        stepped: set[str] = set()
        for phase in self.phases:
            if phase.through_images:
                if stepped & self._image_networks:  # the graph would mix weights from before and after a step
                    images = self._generate(batch)
                losses |= self._run(phase, batch, images)
            else:
                losses |= self._run(phase, batch, detached | self._from_history(phase, detached, step))
            stepped |= set(phase.networks)
        return losses

    def _fit_sizes(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the batch with images cut at the right and below to sides that the networks can take."""
        return {key: self._cut(value, key, batch) if key[0] in "AB" else value for key, value in batch.items()}

    def _cut(self, image: Any, key: str, batch: Batch) -> Any:
        if not isinstance(image, Tensor) or not any(side % self.size_multiple for side in image.shape[-2:]):
            return image
        height, width = (side - side % self.size_multiple for side in image.shape[-2:])
        path = batch[f"{key[0]}_paths"][0]
        if not height or not width:
            raise UserError(
                f"{path}: {image.shape[-1]}x{image.shape[-2]} pixels in training, but the networks need at least "
                f"{self.size_multiple} on each side; use --preprocess resize_and_crop, or a smaller --netG"
            )
        _say_once(f"note: images are cut in training to sides that divide by {self.size_multiple}")
        return image[..., :height, :width]

    def set_rate(self, factor: float) -> float:
        """Set every optimizer's learning rate to ``factor`` times the initial one; return the rate."""
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.initial_rate * factor
        return self.initial_rate * factor

    def state_dict(self) -> dict[str, Any]:
        """Return everything a step depends on beside the batch and its number, in plain types."""
        return {
            "networks": self.model.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "pools": {name: pool.state_dict() for name, pool in self.pools.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned; the given tensors are copied, never aliased."""
        if state["networks"].keys() != self.model.state_dict().keys():
            raise UserError("--continue_train: the saved run has other networks; leave out --lambda_GAN and --netD")
        self.model.load_state_dict(state["networks"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(copy.deepcopy(state["optimizers"][name]))
        for name, pool in self.pools.items():
            pool.load_state_dict(state["pools"][name], self.device)

    def _generate(self, batch: Batch) -> Images:
        with arithmetic(self.device, self.precision):
            images = self.model(batch)
        return {name: image.float() for name, image in images.items()} if self.precision != "fp32" else images

    def _run(self, phase: Phase, batch: Batch, images: Images) -> Losses:
        parameters, optimizer = self.parameters[phase.name], self.optimizers[phase.name]
        optimizer.zero_grad(set_to_none=True)
        with arithmetic(self.device, self.precision):
            losses = phase.loss(batch, images)
        self._backward(phase, losses, parameters)
        penalties = phase.penalty(batch, images) if phase.penalty else {}
        if penalties:
            self._backward(phase, penalties, parameters)
        optimizer.step()
        return {name: value.detach() for name, value in (losses | penalties).items()}

    @staticmethod
    def _backward(phase: Phase, losses: Losses, parameters: list[torch.nn.Parameter]) -> None:
        total = torch.stack([value.float() if value.dtype != torch.float64 else value for value in losses.values()])
        (phase.scale * total.sum()).backward(inputs=parameters)

    def _from_history(self, phase: Phase, images: Images, step: int) -> Images:
        drawn = {}
        for name in phase.history:
            random = torch.Generator().manual_seed(_hash(self.seed, step, name))
            drawn[name] = self.pools[name].query(images[name], random)
        return drawn


def _parameters(model: TranslationModel, phase: Phase) -> list[torch.nn.Parameter]:
    networks = model.networks()
    return [p for name in phase.networks for p in networks[name].parameters() if p.requires_grad]


@functools.cache
def _say_once(message: str) -> None:
    print(message, file=sys.stderr)


def _hash(*parts: object) -> int:
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
