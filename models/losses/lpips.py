"""LPIPS (Zhang et al. 2018, arXiv:1801.03924): its networks with weights that are on this machine, and as a loss.

Nothing is downloaded and nothing is random: the trunk comes from a file, the heads from the lpips package.
"""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models.networks.foreign import load_weights
from models.networks.shift_tolerant import ShiftTolerantAlexNet
from util.errors import UserError
from util.weights import local_weights

SMALLEST = 32  # pixels
_CACHED = {"alex": "alexnet-owt-*.pth", "squeeze": "squeezenet1_1-*.pth", "vgg": "vgg16-*.pth"}


def find_network(weights: str | None, flag: str) -> tuple[nn.Module | None, str]:
    """Return LPIPS and its name, or None and the reason why there is none.

    The network maps two (N,3,H,W) in [-1,1] to (N,1,1,1) distances.

    Args:
        weights: file, URL or hub name of a trunk (AlexNet, SqueezeNet 1.1 or VGG16 under torchvision's keys) or of a
            complete shift-tolerant LPIPS (Ghildyal and Liu 2022); left out, torchvision's cache is searched.
        flag: that names the file, for messages.

    Raises:
        UserError: the file is missing or holds something else.
    """
    if weights is not None:
        name, network = _from_file(local_weights(weights, flag), flag)
        return network.eval().requires_grad_(False), name
    folder = pathlib.Path(torch.hub.get_dir()) / "checkpoints"
    for net, pattern in _CACHED.items():
        for path in sorted(folder.glob(pattern)):
            network = _plain(net, _read(path, flag), f"{flag} {path}")
            return network.eval().requires_grad_(False), f"{net} ({path.name})"
    return None, f"no LPIPS: no AlexNet, SqueezeNet or VGG16 weights in {folder}; name a file by {flag}"


class LPIPSLoss:
    """Mean LPIPS of two (N,C,H,W) in [-1,1], a scalar; zero for equal images.

    The network is frozen, belongs to no module and so to no state dict; it follows its input's device.

    Args:
        weights: as of :func:`find_network`.

    Raises:
        UserError: there are no weights.
    """

    def __init__(self, weights: str | None = None) -> None:
        found, name = find_network(weights, "--lpips_loss_weights")
        if found is None:
            raise UserError(f"--lambda_LPIPS: {name}")
        self.network = found

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the distance; gradients flow into ``prediction`` alone."""
        if next(self.network.parameters()).device != prediction.device:
            self.network.to(prediction.device)
        with torch.autocast(prediction.device.type, enabled=False):
            return self.network(_fitted(prediction), _fitted(target.detach())).mean()


def _fitted(x: Tensor) -> Tensor:
    """Return float32 with three channels."""
    if x.shape[1] not in (1, 3):
        raise UserError(f"--lambda_LPIPS needs images of 1 or 3 channels, not {x.shape[1]}: set it to 0")
    if min(x.shape[2:]) < SMALLEST:
        size = f"{x.shape[3]}x{x.shape[2]}"
        raise UserError(f"--lambda_LPIPS needs images of at least {SMALLEST}x{SMALLEST} pixels, not {size}")
    return x.float().expand(-1, 3, -1, -1)


def _from_file(path: pathlib.Path, flag: str) -> tuple[str, nn.Module]:
    state = _read(path, flag)
    if "scaling_layer.shift" in state and "net.slice1.1.filt" in state:
        return f"shift-tolerant alex ({path.name})", _shift_tolerant(state, f"{flag} {path}")
    net = _trunk_of(state)
    if net is None:
        raise UserError(
            f"{flag} {path}: no LPIPS trunk; give torchvision's alexnet, squeezenet1_1 or vgg16 features"
        )
    return f"{net} ({path.name})", _plain(net, state, f"{flag} {path}")


def _read(path: pathlib.Path, flag: str) -> dict[str, Tensor]:
    try:
        return {name: value.float() for name, value in load_weights(path).items()}
    except UserError as error:
        raise UserError(f"{flag} {error}") from None


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


def _plain(net: str, state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Return the lpips package's network with its own heads and the trunk of ``state``."""
    network = _lpips(net, pretrained=True)
    wanted = {name: f"features.{name.split('.', 1)[1]}" for name in network.net.state_dict()}
    shapes = {wanted[name]: value.shape for name, value in network.net.state_dict().items()}
    wrong = [key for key, shape in shapes.items() if key not in state or state[key].shape != shape]
    if wrong:
        raise UserError(f"{source}: '{wrong[0]}' is missing or of another shape; it is no {net} trunk")
    network.net.load_state_dict({name: state[key] for name, key in wanted.items()})
    return network


def _lpips(net: str, *, pretrained: bool) -> Any:
    """Return the package's network with a random trunk, and with its own heads when ``pretrained``."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision the old way
        return lpips.LPIPS(net=net, pretrained=pretrained, pnet_rand=True, verbose=False)


def _shift_tolerant(state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Return the complete network of ``state``: its own trunk, heads and input scaling."""
    network = _lpips("alex", pretrained=False)
    network.net = ShiftTolerantAlexNet()
    given = {name: value for name, value in state.items() if not name.endswith(".filt")}
    heads = {name.replace("lin", "lins.", 1): value for name, value in given.items() if name.startswith("lin")}
    try:
        network.load_state_dict(given | heads)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{source}: {reason}; copy the file again") from None
    return network
