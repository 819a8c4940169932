"""Distance between textures: correlations of VGG19 features (Gatys et al. 2016), as inpainting papers weigh them."""

from __future__ import annotations

import pathlib

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses.perceptual import VGG19Features, vgg19_state

LAYERS = ("relu2_2", "relu3_4", "relu4_4", "relu5_2")  # AOT-GAN's


def gram(features: Tensor) -> Tensor:
    """Return the correlations (N,C,C) of the channels of (N,C,H,W), divided by the number of values of a sample."""
    flat = features.flatten(2).float()
    return flat @ flat.transpose(1, 2) / features[0].numel()


class StyleLoss:
    """Sum over layers of the mean absolute difference of the Gram matrices of two (N,C,H,W) in [-1,1], a scalar.

    Args:
        weights: local file of VGG19 weights; None takes torchvision's.
    """

    def __init__(self, weights: str | pathlib.Path | None = None) -> None:
        source = "torchvision's vgg19" if weights is None else str(weights)
        self.features = VGG19Features(vgg19_state(weights), LAYERS, source)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the distance; gradients flow into ``prediction`` alone."""
        with torch.no_grad():
            wanted = self.features(target)
        found = self.features(prediction)
        with torch.autocast(prediction.device.type, enabled=False):  # sums over all pixels
            return torch.stack([F.l1_loss(gram(found[name]), gram(wanted[name])) for name in LAYERS]).sum()
