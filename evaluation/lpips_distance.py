"""LPIPS (Zhang et al. 2018, arXiv:1801.03924) from weights that are on this machine; nothing is ever downloaded."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.networks.foreign import clean_state_dict, load_weights
from util.errors import UserError

_CACHED = {"alex": "alexnet-owt-*.pth", "vgg": "vgg16-*.pth", "squeeze": "squeezenet1_1-*.pth"}


def load_lpips(weights: str | None) -> Callable[[Tensor, Tensor], float] | None:
    """Return the LPIPS v0.1 distance of two (1,3,H,W) images in [-1,1], or None where no backbone is at hand.

    Args:
        weights: file of an AlexNet, VGG16 or SqueezeNet 1.1 backbone under torchvision's keys (``features.N...``);
            without it torchvision's download cache is searched.

    Raises:
        UserError: the file is missing or holds no such backbone.
    """
    path = pathlib.Path(weights) if weights else _cached()
    if path is None:
        print("LPIPS is left out: no backbone here; give one by --lpips_weights FILE", file=sys.stderr)
        return None
    state = {key: value.float() for key, value in clean_state_dict(load_weights(path)).items()}
    network = _build(_backbone(state, path), state, path)

    def distance(output: Tensor, target: Tensor) -> float:
        with torch.no_grad():
            return float(network(output, target))

    return distance


def _cached() -> pathlib.Path | None:
    folder = pathlib.Path(torch.hub.get_dir()) / "checkpoints"
    return next((path for pattern in _CACHED.values() for path in sorted(folder.glob(pattern))), None)


def _backbone(state: dict[str, Tensor], path: pathlib.Path) -> str:
    first = state.get("features.0.weight")
    shape = tuple(first.shape) if first is not None else ()
    if shape == (64, 3, 11, 11):
        return "alex"
    if shape == (64, 3, 3, 3):
        return "squeeze" if "features.3.squeeze.weight" in state else "vgg"
    raise UserError(f"--lpips_weights {path}: not AlexNet, VGG16 or SqueezeNet 1.1 under torchvision's keys")


def _build(backbone: str, state: dict[str, Tensor], path: pathlib.Path) -> nn.Module:
    import lpips

    with contextlib.redirect_stdout(io.StringIO()):  # the package announces itself
        network = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False).eval()
    filled = network.state_dict()
    for key in filled:
        source = re.sub(r"^net\.slice\d+\.", "features.", key)
        if source == key:
            continue
        if source not in state or state[source].shape != filled[key].shape:
            raise UserError(f"--lpips_weights {path}: {source} is missing or of another shape for {backbone}")
        filled[key] = state[source]
    network.load_state_dict(filled)
    return network.requires_grad_(False)
