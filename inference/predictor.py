"""Translate images of any size with a trained model, deterministically."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Images, TranslationModel
from util.device import arithmetic

TEST_NORMS = ("auto", "batch", "running")
_SMALLEST = 16  # pixels; below it the reflection padding inside some networks is wider than their feature maps


class Predictor:
    """A model ready for inference: no dropout, no gradients, any image size.

    Images that are tiny, or whose sides do not divide by the network's ``size_multiple``, are padded by replication,
    centred, and cropped back afterwards.

    Args:
        model: holding trained weights.
        device: to compute on.
        precision: "fp32" or "bf16".
        test_norm: statistics of batch norm layers: "running" (of the training), "batch" (of the image itself, as
            pix2pix was published) or "auto", which is "batch" for U-Nets and "running" otherwise.
    """

    def __init__(
        self, model: TranslationModel, device: torch.device, precision: str = "fp32", test_norm: str = "auto"
    ) -> None:
        self.model, self.device, self.precision = model.to(device).eval(), device, precision
        networks = model.networks().values()
        self.size_multiple = max((getattr(n, "size_multiple", 1) for n in networks), default=1)
        self.scale = max((getattr(n, "scale", 1) for n in networks), default=1)
        self.one_by_one = False
        for network in networks:
            if test_norm == "batch" or (test_norm == "auto" and getattr(network, "test_norm", "running") == "batch"):
                self.one_by_one |= use_image_statistics(network)

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> Images:
        """Return the model's images by label, float32 on the CPU, each (N,C,H,W) in [-1,1].

        Args:
            batch: "A" and, where the method needs it, "B": float32 (N,C,H,W) in [-1,1].
        """
        tensors = {side: batch[side] for side in ("A", "B") if side in batch}
        count = len(tensors["A"])
        if self.one_by_one and count > 1:
            parts = [self({side: tensor[i : i + 1] for side, tensor in tensors.items()}) for i in range(count)]
            return {label: torch.cat([part[label] for part in parts]) for label in parts[0]}
        padded = {side: self._pad(tensor.to(self.device)) for side, tensor in tensors.items()}
        with arithmetic(self.device, self.precision):
            images = self.model.predict(padded)
        return {
            label: self._crop(image, tensors[self._frame(label, tensors)], label).float().cpu()
            for label, image in images.items()
        }

    def _frame(self, label: str, tensors: Mapping[str, Tensor]) -> str:
        """Return the input whose size an output has: its cycle's start."""
        started_at_b = label in ("real_B", "fake_A", "rec_B", "idt_A")
        return "B" if started_at_b and "B" in tensors else "A"

    def _pad(self, image: Tensor) -> Tensor:
        left, right = _margins(image.shape[-1], self.size_multiple)
        top, bottom = _margins(image.shape[-2], self.size_multiple)
        return F.pad(image, (left, right, top, bottom), mode="replicate")

    def _crop(self, image: Tensor, original: Tensor, label: str) -> Tensor:
        scale = self.scale if label.startswith("fake") else 1
        height, width = original.shape[-2], original.shape[-1]
        top, left = _margins(height, self.size_multiple)[0], _margins(width, self.size_multiple)[0]
        rows = slice(top * scale, (top + height) * scale)
        return image[..., rows, left * scale : (left + width) * scale]


def _margins(size: int, multiple: int) -> tuple[int, int]:
    wanted = max(size, _SMALLEST)
    missing = wanted + -wanted % multiple - size
    return missing // 2, missing - missing // 2


def use_image_statistics(network: nn.Module) -> bool:
    """Let batch norm layers normalise by the statistics of the batch and leave their own alone; say if it has any."""
    layers = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for layer in layers:
        layer.train()
        layer.momentum = 0.0
    return bool(layers)
