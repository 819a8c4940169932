"""Pictures for pages and visdom: what test.py would make of the present weights, without a trace in the training."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from data.writers import shown_channels
from inference.predictor import Predictor
from models.base import Batch
from training.update import Updater


class Previewer:
    """Translate the first sample of a batch as test.py would: no dropout, and batch norm as at test time.

    A picture with dropout, and with norm statistics that one sample has moved, would show another generator than the
    one that the run saves.

    Args:
        updater: of the training; a copy of its networks does the work.
        precision: of ``--precision``.
        test_norm: statistics of batch norm, as test.py will use them for this run.
        bands: of ``--preview_bands``, from 0.
    """

    def __init__(self, updater: Updater, precision: str, test_norm: str, bands: tuple[int, ...] = ()) -> None:
        self.updater, self.precision, self.test_norm, self.bands = updater, precision, test_norm, bands

    def predictor(self, test_norm: str | None = None) -> Predictor:
        """Return a Predictor on a copy of the networks, so that nothing it does can reach the training."""
        model = copy.deepcopy(self.updater.model).requires_grad_(False)
        return Predictor(model, self.updater.device, self.precision, test_norm or self.test_norm)

    def pictures(self, batch: Batch) -> dict[str, np.ndarray]:
        """Return (H,W,3) or (H,W) uint8 pictures by label."""
        first = {key: value[:1] for key, value in batch.items() if isinstance(value, Tensor)}
        with torch.random.fork_rng(devices=[]):  # predicting draws nothing on a GPU
            return to_pictures(self.predictor()(first), self.bands)


def to_pictures(images: Mapping[str, Tensor], bands: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    """Return the first image of each (N,C,H,W) tensor in [-1,1] as uint8, the ``bands`` or first 3 of its channels."""
    return {label: _picture(image[0], bands) for label, image in images.items()}


def _picture(image: Tensor, bands: tuple[int, ...]) -> np.ndarray:
    shown = shown_channels(image, bands, 0)
    levels = ((shown.float().clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8)
    if len(levels) == 2:
        levels = levels[:1]
    return levels.permute(1, 2, 0).squeeze(-1).numpy()
