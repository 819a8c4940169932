"""LPIPS (Zhang et al. 2018), with weights that are already on this machine: nothing is downloaded, nothing random."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.networks.foreign import load_weights
from util.errors import UserError

Lpips = Callable[[np.ndarray, np.ndarray], float]
_CACHED = {"alex": "alexnet-owt-*.pth", "squeeze": "squeezenet1_1-*.pth", "vgg": "vgg16-*.pth"}
_SMALLEST = 32


class PerceptualDistance:
    """LPIPS of two images; called with (H,W,C) values in [0,1], returns a number of 0 or more.

    One channel is repeated to three; of more than three the first three count. Images under 32 pixels give NaN.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, fake: np.ndarray, real: np.ndarray) -> float:
        if min(fake.shape[:2]) < _SMALLEST:
            return float("nan")
        return float(self.network(_tensor(fake), _tensor(real)))


def load(weights: str | None) -> tuple[PerceptualDistance | None, str]:
    """Return LPIPS and its name, or None and the reason why there is none.

    Args:
        weights: file of a trunk (AlexNet, SqueezeNet 1.1 or VGG16 under torchvision's keys) or of a complete
            shift-tolerant LPIPS (Ghildyal and Liu 2022); left out, torchvision's cache is searched.

    Raises:
        UserError: the file is missing or holds something else.
    """
    if weights is not None:
        name, network = _from_file(pathlib.Path(weights))
        return PerceptualDistance(network), name
    folder = pathlib.Path(torch.hub.get_dir()) / "checkpoints"
    for net, pattern in _CACHED.items():
        for path in sorted(folder.glob(pattern)):
            return PerceptualDistance(_plain(net, _read(path), path)), f"{net} ({path.name})"
    return None, f"no LPIPS: no AlexNet, SqueezeNet or VGG16 weights in {folder}; name a file by --lpips_weights"


def _from_file(path: pathlib.Path) -> tuple[str, nn.Module]:
    state = _read(path)
    if "scaling_layer.shift" in state and "net.slice1.1.filt" in state:
        return f"shift-tolerant alex ({path.name})", _shift_tolerant(state, path)
    net = _trunk_of(state)
    if net is None:
        raise UserError(
            f"--lpips_weights {path}: no LPIPS trunk; give torchvision's alexnet, squeezenet1_1 or vgg16 features"
        )
    return f"{net} ({path.name})", _plain(net, state, path)


def _read(path: pathlib.Path) -> dict[str, Tensor]:
    try:
        return {name: value.float() for name, value in load_weights(path).items()}
    except UserError as error:
        raise UserError(f"--lpips_weights {error}") from None


def _trunk_of(state: Mapping[str, Tensor]) -> str | None:
    """Return which trunk the weights belong to, judged by shapes."""
    first = state.get("features.0.weight")
    if first is None:
        return None
    if tuple(first.shape) == (64, 3, 11, 11):
        return "alex"
    if "features.3.squeeze.weight" in state:
        return "squeeze"
    third = state.get("features.28.weight")
    is_vgg16 = "features.24.weight" in state and "features.34.weight" not in state
    return "vgg" if third is not None and is_vgg16 else None


def _plain(net: str, state: Mapping[str, Tensor], path: pathlib.Path) -> nn.Module:
    """Return the lpips package's network with its own heads and the trunk of ``state``."""
    network = _lpips(net, pretrained=True)
    wanted = {name: f"features.{name.split('.', 1)[1]}" for name in network.net.state_dict()}
    shapes = {wanted[name]: value.shape for name, value in network.net.state_dict().items()}
    wrong = [key for key, shape in shapes.items() if key not in state or state[key].shape != shape]
    if wrong:
        raise UserError(f"--lpips_weights {path}: '{wrong[0]}' is missing or of another shape; it is no {net} trunk")
    network.net.load_state_dict({name: state[key] for name, key in wanted.items()})
    return network


def _lpips(net: str, *, pretrained: bool) -> Any:
    """Return the package's network with a random trunk, and with its own heads when ``pretrained``."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision the old way
        return lpips.LPIPS(net=net, pretrained=pretrained, pnet_rand=True, verbose=False)


def _shift_tolerant(state: Mapping[str, Tensor], path: pathlib.Path) -> nn.Module:
    """Return the complete network of ``state``: its own trunk, heads and input scaling."""
    network = _lpips("alex", pretrained=False)
    network.net = ShiftTolerantAlexNet()
    given = {name: value for name, value in state.items() if not name.endswith(".filt")}
    heads = {name.replace("lin", "lins.", 1): value for name, value in given.items() if name.startswith("lin")}
    try:
        network.load_state_dict(given | heads)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"--lpips_weights {path}: {reason}; copy the file again") from None
    return network


def _tensor(image: np.ndarray) -> Tensor:
    """Return (1,3,H,W) float32 in [-1,1] of (H,W,C) in [0,1]."""
    colour = np.repeat(image[..., :1], 3, axis=2) if image.shape[2] < 3 else image[..., :3]
    return torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1), np.float32))[None] * 2.0 - 1.0


class BlurPool(nn.Module):
    """Halve the size behind a [1,2,1] filter over reflected borders (Zhang 2019); ``padding`` on each side."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """Map (N,C,H,W) to (N,C,~H/2,~W/2)."""
        line = x.new_tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(line, line).expand(x.shape[1], 1, 3, 3)
        padded = nn.functional.pad(x, [self.padding] * 4, mode="reflect")
        return nn.functional.conv2d(padded, kernel, stride=2, groups=x.shape[1])


class ShiftTolerantAlexNet(nn.Module):
    """AlexNet without large strides, each replaced by a blur pool (Ghildyal and Liu 2022); returns five features."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            *(nn.Conv2d(3, 64, 11, padding=2), BlurPool(2), nn.ReLU()),
            *(nn.MaxPool2d(3, 1), BlurPool(2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU()),
            *(nn.MaxPool2d(3, 1), BlurPool(2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()),
        ]
        for number, (begin, end) in enumerate([(0, 3), (3, 7), (7, 11), (11, 13), (13, 15)], start=1):
            part = nn.Sequential()
            for index in range(begin, end):
                part.add_module(str(index), layers[index])
            self.add_module(f"slice{number}", part)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features after each of the five parts for (N,3,H,W)."""
        features = []
        for part in self.children():
            x = part(x)
            features.append(x)
        return features
