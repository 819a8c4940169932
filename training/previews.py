"""Pictures of a training step, for pages and visdom."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from models.base import Batch, TranslationModel
from util.device import arithmetic


class Previewer:
    """Translate the first sample of a batch without leaving a trace in the training.

    Args:
        precision: "fp32" or "bf16", as in the training.
    """

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device, self.precision = device, precision

    def pictures(self, model: TranslationModel, batch: Batch) -> dict[str, np.ndarray]:
        """Return (H,W,3) or (H,W) uint8 pictures by label; norm buffers, RNG and modes stay as they were."""
        first = {key: value[:1].to(self.device) for key, value in batch.items() if isinstance(value, Tensor)}
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        with torch.random.fork_rng(), arithmetic(self.device, self.precision):
            images = model.predict(first)
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
        return to_pictures(images)


def to_pictures(images: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the first image of each (N,C,H,W) tensor in [-1,1] as uint8; more than 3 channels show the first 3."""
    return {label: _picture(image[0]) for label, image in images.items()}


def _picture(image: Tensor) -> np.ndarray:
    levels = ((image.float().clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8)
    if len(levels) == 2:
        levels = levels[:1]
    return levels[:3].permute(1, 2, 0).squeeze(-1).numpy()
