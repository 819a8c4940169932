"""What every method is: a forward, one loss per player, and a prediction."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.builder import Builder

Batch = Mapping[str, Any]
Images = dict[str, Tensor]
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Phase:
    """One player's turn within a step.

    Args:
        name: the player, "G" or "D".
        networks: names of the networks whose weights this phase updates.
        loss: named, weighted scalar terms of a batch and its generated images; the engine adds them up.
        scale: factor of the sum, as papers halve the discriminators' losses.
        through_images: whether the gradient flows through the generated images. Other phases get them detached.
        history: generated images that this phase sees through the image pool (Shrivastava et al. 2017).
        penalty: further terms that need double backward; None where there are none.
        lazy_penalty: more of them, for every ``every``-th step alone, in which they count ``every`` times.
        divisible: whether the loss of a batch is the mean of the losses of its parts.
    """

    name: str
    networks: tuple[str, ...]
    loss: Callable[[Batch, Images], Losses]
    scale: float = 1.0
    through_images: bool = False
    history: tuple[str, ...] = ()
    penalty: Callable[[Batch, Images], Losses] | None = None
    lazy_penalty: Callable[[Batch, Images], Losses] | None = None
    every: int = 16
    divisible: bool = True

    def penalties(self, step: int) -> list[tuple[Callable[[Batch, Images], Losses], int]]:
        """Return the penalties of a step, each with its factor."""
        every_step = [(self.penalty, 1)] if self.penalty else []
        return every_step + ([(self.lazy_penalty, self.every)] if self.lazy_penalty and step % self.every == 0 else [])


class TranslationModel(nn.Module):
    """A method of image translation from domain A to domain B.

    Networks are the module's direct children and are saved as ``<epoch>_net_<name>.pth``. A method knows no device,
    path, optimizer, precision or parser: ``training/update.py`` decides how a phase runs. Images are (N,C,H,W)
    float tensors in [-1,1].
    """

    #: the images that a batch must have for training
    needs: tuple[str, ...] = ("A", "B")
    #: whether B must be the truth for A
    paired = False
    #: label -> domain of the images that predict() returns, in the order pages show them
    visuals: Mapping[str, str] = {}
    #: label -> the input whose height and width (times an enlargement) the image has, where that is not "A"
    frames: Mapping[str, str] = {"real_B": "B"}
    #: label of the translation of A
    result: str = "fake_B"
    #: label of the image that it is measured against
    truth: str = "real_B"
    #: terms in the order logs show them; others follow
    loss_names: tuple[str, ...] = ()

    def prepare_training(self, build: Builder) -> None:
        """Build what only training needs: discriminators and losses."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Images:
        """Return the generated images of a batch by label."""
        raise NotImplementedError

    def phases(self) -> Sequence[Phase]:
        """Return the players in the order of their turns; they partition the trainable networks."""
        raise NotImplementedError

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks by the names of their files."""
        return {name: module for name, module in self.named_children() if any(True for _ in module.parameters())}

    @property
    def size_multiple(self) -> int:
        """Return what image height and width must divide by for every network."""
        return math.lcm(*(getattr(network, "size_multiple", 1) for network in self.networks().values()))

    @property
    def scale(self) -> int:
        """Return how many times as large as the inputs the images are."""
        return max((getattr(network, "scale", 1) for network in self.networks().values()), default=1)

    def end_step(self, add_up: Callable[[Sequence[Tensor]], None]) -> None:
        """Let parts that observe the training, such as an augmentation, take in what a step has shown.

        Args:
            add_up: replaces tensors by their sums over all processes.
        """
        for part in self.children():
            end = getattr(part, "end_step", None)
            if callable(end):
                end(add_up)

    def diagnostics(self) -> dict[str, float]:
        """Return what parts tell of their state for the logs; ``augment_p`` of a part ``..._A`` as ``augment_p_A``."""
        found: dict[str, float] = {}
        for name, part in self.named_children():
            tell, (_, mark, side) = getattr(part, "diagnostics", dict), name.partition("_")
            found |= {what + mark + side: value for what, value in tell().items()}
        return found

    def decide(self, images: Images) -> Images:
        """Return images by label of means over several versions, with what comes of a choice chosen anew.

        A mean of decisions is none: what they were made from is averaged, under labels of its own, and decided then.
        """
        return images

    @torch.no_grad()
    def predict(self, batch: Batch) -> Images:
        """Return all images worth showing for a batch, inputs included, by label."""
        return self.shown(batch, self.forward(batch))

    def shown(self, batch: Batch, images: Images) -> Images:
        """Return inputs and generated images by label, in the order pages show them."""
        inputs = {f"real_{side}": batch[side] for side in ("A", "B") if side in batch}
        available = inputs | images
        return {label: available[label] for label in self.visuals if label in available}


def split_calls(network: nn.Module, *inputs: Tensor) -> list[Any]:
    """Return ``[network(x) for x in inputs]``, in one call where that changes nothing but the speed.

    Networks with batch statistics or active dropout treat a larger batch differently, so they are called one by one.
    """
    together = len({x.shape[1:] for x in inputs}) == 1 and not _depends_on_batch(network)
    if not together:
        return [network(x) for x in inputs]
    output, ends = network(torch.cat(inputs)), list(itertools.accumulate(len(x) for x in inputs))
    return [_samples(output, slice(end - len(x), end)) for x, end in zip(inputs, ends, strict=True)]


def _samples(output: Any, part: slice) -> Any:
    """Return some samples of a network's output: a tensor, or lists and named tuples of them."""
    if isinstance(output, Tensor):
        return output[part]
    parts = [_samples(item, part) for item in output]
    return type(output)(*parts) if isinstance(output, tuple) else parts


def _depends_on_batch(network: nn.Module) -> bool:
    return any(_couples_samples(module) for module in network.modules())


def _couples_samples(layer: nn.Module) -> bool:
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return layer.training or layer.running_mean is None
    return isinstance(layer, nn.modules.dropout._DropoutNd) and layer.training
