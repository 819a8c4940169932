"""What averages of several passes need: their mean and deviation, dropout left on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.networks.dropout import Dropout
from models.networks.stages import averages_over_the_image


class RunningMean:
    """Mean and deviation of images that come one after the other (Welford 1962).

    Equal images have exactly themselves as the mean.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: dict[str, Tensor] = {}
        self._squares: dict[str, Tensor] = {}

    def add(self, images: Mapping[str, Tensor]) -> None:
        """Count in one version of the images."""
        self.count += 1
        for label, image in images.items():
            if self.count == 1:
                self.mean[label], self._squares[label] = image.clone(), torch.zeros_like(image)
                continue
            delta = image - self.mean[label]
            self.mean[label] += delta / self.count
            self._squares[label] += delta * (image - self.mean[label])

    def deviation(self, label: str) -> Tensor:
        """Return the standard deviation of every pixel over the versions."""
        return (self._squares[label] / self.count).sqrt()


@contextmanager
def dropout_on(model: nn.Module) -> Iterator[None]:
    """Let dropout layers drop inside the block, each by random numbers of its own."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.modules.dropout._DropoutNd)}
    for name, layer in layers.items():
        layer.train()
        if isinstance(layer, Dropout):
            layer.stream = name
    try:
        yield
    finally:
        for layer in layers.values():
            layer.eval()


def has_dropout(model: nn.Module) -> bool:
    """Return whether a model has any dropout layer."""
    return any(isinstance(m, nn.modules.dropout._DropoutNd) for m in model.modules())


def depends_on_batch(model: nn.Module) -> bool:
    """Return whether the images of one batch would change each other: by batch norm over the batch."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) and averages_over_the_image(m) for m in model.modules())
