"""Distance between features that see far: LaMa's perceptual loss (Suvorov et al. 2022, arXiv:2109.07161).

The trunk is a ResNet50 whose last two parts are dilated instead of shrinking, so that features of an eighth of the size
look at large parts of the image. Weights come from a local file: LaMa's own are those of a segmentation network of
ADE20K ("ade20k-resnet50dilated-ppm_deepsup", encoder_epoch_20.pth); torchvision's resnet50 has other first layers and
serves too. The network is frozen, belongs to no module and so to no state dict, and follows its input's device.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.networks.foreign import load_weights
from util.errors import UserError
from util.weights import local_weights

_BLOCKS = (3, 4, 6, 3)
_DILATIONS = ((1, 1), (1, 1), (1, 2), (2, 4))  # of a part's first block and of the others
_STRIDES = (1, 2, 1, 1)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_EPS = 1e-5
_HOW = (
    "give a local file by --resnet_weights: the encoder of ade20k-resnet50dilated-ppm_deepsup as in the paper, or "
    "torchvision's resnet50; or use --lambda_HRF 0 with --lambda_VGG 0.1"
)


class DilatedResNet50:
    """Frozen trunk: (N,3,H,W), normalised as for ImageNet, to its four parts' features.

    Args:
        state: weights under torchvision's keys, or with the three small first convolutions of the segmentation network.
        source: named in errors.
    """

    def __init__(self, state: Mapping[str, Tensor], source: str) -> None:
        self._state = {name.removeprefix("module."): value for name, value in state.items()}
        self._source = source
        deep = "conv2.weight" in self._state
        self._stem = ((1, 2), (2, 1), (3, 1)) if deep else ((1, 2),)
        layers = [f"{kind}{number}" for number, _ in self._stem for kind in ("conv", "bn")]
        self._state = {name: value.float() for name, value in self._state.items() if name[:2] in ("co", "bn", "la")}
        for layer in layers:
            self._need(f"{layer}.weight")

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Return features of 256, 512, 1024 and 2048 channels, of a quarter and then an eighth of the size."""
        self._follow(x)
        for number, stride in self._stem:
            x = F.relu(self._norm(self._convolve(x, f"conv{number}", stride), f"bn{number}"))
        x = F.max_pool2d(x, 3, 2, 1)
        found = []
        for part, (blocks, stride, dilations) in enumerate(zip(_BLOCKS, _STRIDES, _DILATIONS, strict=True), start=1):
            for block in range(blocks):
                first = block == 0
                x = self._block(x, f"layer{part}.{block}", stride if first else 1, dilations[0 if first else 1])
            found.append(x)
        return found

    def _block(self, x: Tensor, name: str, stride: int, dilation: int) -> Tensor:
        y = F.relu(self._norm(self._convolve(x, f"{name}.conv1"), f"{name}.bn1"))
        y = F.relu(self._norm(self._convolve(y, f"{name}.conv2", stride, dilation), f"{name}.bn2"))
        y = self._norm(self._convolve(y, f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.downsample.0.weight" in self._state:
            x = self._norm(self._convolve(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
        return F.relu(x + y)

    def _convolve(self, x: Tensor, name: str, stride: int = 1, dilation: int = 1) -> Tensor:
        weight = self._need(f"{name}.weight")
        if weight.ndim != 4 or weight.shape[1] != x.shape[1]:
            raise UserError(f"{self._source}: {name} is no layer of a ResNet50; {_HOW}")
        return F.conv2d(x, weight, None, stride, dilation * (weight.shape[-1] // 2), dilation)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        mean, variance, weight, bias = (
            self._need(f"{name}.{part}") for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias, eps=_EPS)

    def _need(self, name: str) -> Tensor:
        if name not in self._state:
            raise UserError(f"{self._source}: not a ResNet50, {name} is missing; {_HOW}")
        return self._state[name]

    def _follow(self, x: Tensor) -> None:
        if next(iter(self._state.values())).device != x.device:
            self._state = {name: value.to(x.device) for name, value in self._state.items()}


class FarSightedLoss:
    """Sum over the trunk's four parts of the mean squared difference of features, a scalar.

    Args:
        weights: .pth or .safetensors file, URL or hub name.

    Raises:
        UserError: no file is named, or it holds something else.
    """

    def __init__(self, weights: str | pathlib.Path | None) -> None:
        if weights is None:
            raise UserError(f"--lambda_HRF: the perceptual loss of a large receptive field needs weights; {_HOW}")
        state = load_weights(local_weights(weights, "--resnet_weights"))
        self.trunk = DilatedResNet50(state, f"--resnet_weights {weights}")
        with torch.no_grad():
            self.trunk(torch.zeros(1, 3, 64, 64))  # a wrong file is told of now

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the distance of two (N,C,H,W) in [-1,1], C = 1 or 3; gradients flow into ``prediction`` alone."""
        with torch.no_grad():
            wanted = self.trunk(_normalise(target))
        found = self.trunk(_normalise(prediction))
        return torch.stack([F.mse_loss(a.float(), b.float()) for a, b in zip(found, wanted, strict=True)]).sum()


def _normalise(x: Tensor) -> Tensor:
    if x.shape[1] not in (1, 3):
        raise UserError(f"--lambda_HRF needs images of 1 or 3 channels, not {x.shape[1]}: set it to 0")
    mean, std = (x.new_tensor(values, dtype=torch.float32).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    return ((x.float().expand(-1, 3, -1, -1) + 1) / 2 - mean) / std
