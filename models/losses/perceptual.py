"""Distance between VGG19 features (Johnson et al. 2016, arXiv:1603.08155).

Layers and their weights are those of pix2pixHD (Wang et al. 2018, arXiv:1711.11585). The network is frozen, belongs
to no module and so to no state dict; it follows its input's device and computes in float32, or as autocast says.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.networks.foreign import load_weights
from util.errors import UserError, did_you_mean
from util.weights import local_weights

LAYERS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}
_CONVOLUTIONS_PER_BLOCK = (2, 2, 4, 4, 4)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_HOW_TO_GET = (
    "give a local file of torchvision's vgg19 by --vgg_weights, or let torchvision fetch it (548 MB) with: "
    "python -c 'import torchvision; torchvision.models.vgg19(weights=\"IMAGENET1K_V1\")'"
)


def _plan() -> dict[str, int]:
    """Return relu name -> index of its convolution in torchvision's ``features``, in order."""
    plan, index = {}, 0
    for block, count in enumerate(_CONVOLUTIONS_PER_BLOCK, start=1):
        for i in range(1, count + 1):
            plan[f"relu{block}_{i}"] = index
            index += 2
        index += 1
    return plan


class VGG19Features:
    """Frozen VGG19 (Simonyan and Zisserman 2015, 1409.1556) up to the deepest layer asked for.

    Args:
        state: ``features.N.weight`` and ``.bias`` as in torchvision's vgg19; the prefix may be absent.
        layers: what to return, of relu1_1 ... relu5_4, or before the activation conv1_1 ... conv5_4.
        source: named in errors.
    """

    def __init__(self, state: Mapping[str, Tensor], layers: tuple[str, ...], source: str = "VGG19 weights") -> None:
        plan = _plan()
        _check_names(layers, plan)
        self.layers = frozenset(layers)
        deepest = max(list(plan).index(_activated(name)) for name in layers)
        names = list(plan)[: deepest + 1]
        self._convolutions = {name: _convolution(state, plan[name], source) for name in names}
        _check_chain(list(self._convolutions.values()), source)

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Return the asked layers of (N,C,H,W) in [-1,1], C = 1 or 3 and H, W at least 16, by name."""
        x = _normalise(x)
        found: dict[str, Tensor] = {}
        self._follow(x)
        for name, (weight, bias) in self._convolutions.items():
            if name.endswith("_1") and name != "relu1_1":
                x = F.max_pool2d(x, 2)
            before = F.conv2d(x, weight, bias, padding=1)
            x = F.relu(before)
            both = {name: x, name.replace("relu", "conv"): before}
            found |= {layer: values for layer, values in both.items() if layer in self.layers}
        return found

    def _follow(self, x: Tensor) -> None:
        if next(iter(self._convolutions.values()))[0].device != x.device:
            self._convolutions = {k: (w.to(x.device), b.to(x.device)) for k, (w, b) in self._convolutions.items()}


def _activated(layer: str) -> str:
    """Return the layer's name after its activation."""
    return layer.replace("conv", "relu")


def _check_names(layers: Sequence[str], plan: Mapping[str, int]) -> None:
    for name in layers:
        if _activated(name) not in plan:
            raise UserError(
                f"unknown VGG19 layer '{name}'{did_you_mean(name, plan)} (relu1_1 to relu5_4, conv1_1 to conv5_4)"
            )
    if not layers:
        raise UserError("the perceptual loss needs at least one VGG19 layer, for example relu3_1")


def parse_layers(words: Sequence[str]) -> dict[str, float] | None:
    """Return layer -> weight of words such as ``conv5_4`` or ``conv1_2:0.1``; None, the usual ones, for no words."""
    return dict(_layer_and_weight(word) for word in words) or None


def _layer_and_weight(word: str) -> tuple[str, float]:
    name, colon, weight = word.partition(":")
    try:
        number = float(weight) if colon else 1.0
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError(f"--vgg_layers {word}: write a layer and its weight, above 0, as conv5_4:0.5")
    return name, number


def _convolution(state: Mapping[str, Tensor], index: int, source: str) -> tuple[Tensor, Tensor]:
    for prefix in ("features.", ""):
        weight, bias = (state.get(f"{prefix}{index}.{part}") for part in ("weight", "bias"))
        if weight is not None and bias is not None:
            return weight.float().requires_grad_(False), bias.float().requires_grad_(False)
    raise UserError(f"{source}: not a VGG19, features.{index}.weight or .bias is missing; {_HOW_TO_GET}")


def _check_chain(convolutions: list[tuple[Tensor, Tensor]], source: str) -> None:
    channels = 3
    for weight, bias in convolutions:
        if weight.ndim != 4 or tuple(weight.shape[1:]) != (channels, 3, 3) or bias.shape != weight.shape[:1]:
            raise UserError(
                f"{source}: not a VGG19, a weight of shape {tuple(weight.shape)} follows {channels} channels"
            )
        channels = len(weight)


def _normalise(x: Tensor) -> Tensor:
    if x.shape[1] not in (1, 3):
        raise UserError(
            f"the VGG perceptual loss needs images of 1 or 3 channels, not {x.shape[1]}: set its weight to 0"
        )
    if min(x.shape[2:]) < 16:
        raise UserError(f"the VGG perceptual loss needs images of at least 16x16 pixels, not {x.shape[2]}x{x.shape[3]}")
    mean, std = (x.new_tensor(values, dtype=torch.float32).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    return ((x.float().expand(-1, 3, -1, -1) + 1) / 2 - mean) / std


def vgg19_state(weights: str | pathlib.Path | None) -> Mapping[str, Tensor]:
    """Return VGG19 weights from a local .pth or .safetensors file, or from torchvision; never random ones.

    Raises:
        UserError: the file is missing or unreadable, or torchvision's weights can be neither found nor fetched.
    """
    if weights is not None:
        return load_weights(local_weights(weights, "--vgg_weights"))
    try:
        import torchvision

        return torchvision.models.VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"no VGG19 weights for the perceptual loss ({reason}): {_HOW_TO_GET}") from error


class VGGPerceptualLoss:
    """Weighted distance of VGG19 features of two (N,C,H,W) in [-1,1], C = 1 or 3; a scalar.

    Args:
        weights: local file of VGG19 weights; None takes torchvision's.
        layers: layer -> its weight; SRGAN's VGG54 is relu5_4, ESRGAN's conv5_4.
        distance: "l1", the mean absolute difference, or "mse", the mean squared one.
    """

    def __init__(
        self,
        weights: str | pathlib.Path | None = None,
        layers: Mapping[str, float] | None = None,
        distance: str = "l1",
    ) -> None:
        self.distance = F.mse_loss if distance == "mse" else F.l1_loss
        self.layers = dict(LAYERS if layers is None else layers)
        source = "torchvision's vgg19" if weights is None else str(weights)
        self.features = VGG19Features(vgg19_state(weights), tuple(self.layers), source)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the distance; gradients flow into ``prediction`` alone."""
        with torch.no_grad():
            wanted = self.features(target)
        found = self.features(prediction)
        terms = [
            weight * self.distance(found[name].float(), wanted[name].float()) for name, weight in self.layers.items()
        ]
        return torch.stack(terms).sum()
