"""Distance between the patch tokens of a DINO vision transformer of timm (Oquab et al. 2023, arXiv:2304.07193)."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.networks.foreign import load_weights
from models.networks.mirrored import mirror_up
from util.errors import UserError, one_line
from util.weights import local_weights

_BLOCKS = 4  # the last ones, whose tokens are compared
_NAMES = "choose one that timm.list_models('*dino*') names"


class DINOLoss:
    """Mean of 1 - cosine similarity of the tokens of two (N,C,H,W) in [-1,1], a scalar; zero for equal images.

    The last four blocks count. The network is frozen, belongs to no module and so to no state dict; it follows its
    input's device. Images are mirrored at the right and below to a multiple of its patches.

    Args:
        name: of a vision transformer of timm, or ``hf-hub:OWNER/NAME``.
        weights: of it, by path, URL or hub name; None takes those that timm finds by the name.

    Raises:
        UserError: there is no such network, or there are no weights for it.
    """

    def __init__(self, name: str, weights: str | pathlib.Path | None = None) -> None:
        network = _made(name, pretrained=weights is None)
        if weights is not None:
            _fill(network, weights, name)
        self.network = network.eval().requires_grad_(False)
        self.patch = int(network.patch_embed.patch_size[0])
        self.mean, self.std = (_column(network.pretrained_cfg[key]) for key in ("mean", "std"))

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the distance; gradients flow into ``prediction`` alone."""
        self._follow(prediction)
        with torch.no_grad():
            wanted = self._tokens(target)
        pairs = zip(self._tokens(prediction), wanted, strict=True)
        return torch.stack([(1 - _cosine(found, other)).mean() for found, other in pairs]).mean()

    def _follow(self, x: Tensor) -> None:
        if self.mean.device != x.device:
            self.network.to(x.device)
            self.mean, self.std = self.mean.to(x.device), self.std.to(x.device)

    def _tokens(self, x: Tensor) -> list[Tensor]:
        """Return (N,h*w,c) of each block."""
        if x.shape[1] not in (1, 3):
            raise UserError(f"--lambda_DINO needs images of 1 or 3 channels, not {x.shape[1]}: set it to 0")
        x = ((x.float().expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std
        padded = mirror_up(x, self.patch)
        return self.network.forward_intermediates(padded, indices=_BLOCKS, output_fmt="NLC", intermediates_only=True)


def _cosine(x: Tensor, y: Tensor) -> Tensor:
    return F.cosine_similarity(x.float(), y.float(), dim=2)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def _made(name: str, *, pretrained: bool) -> Any:
    import timm

    try:
        network = timm.create_model(name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
    except TypeError:
        raise UserError(f"--dino_model {name}: no vision transformer that takes any size; {_NAMES}") from None
    except (RuntimeError, ValueError) as error:
        raise UserError(f"--dino_model {name}: {one_line(error)}; {_NAMES}") from None
    except Exception as error:  # whatever the hub's client raises without a network
        raise UserError(
            f"--dino_model {name}: its weights are not here and cannot be fetched ({one_line(error)}); give a local "
            "file by --dino_weights"
        ) from error
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "patch_embed"):
        raise UserError(f"--dino_model {name}: no vision transformer; {_NAMES}")
    return network


def _fill(network: Any, weights: str | pathlib.Path, name: str) -> None:
    state, own = load_weights(local_weights(weights, "--dino_weights")), network.state_dict()
    wrong = [key for key in own if key not in state or state[key].shape != own[key].shape]
    if wrong:
        raise UserError(f"--dino_weights {weights}: '{wrong[0]}' is missing or of another shape for {name}")
    network.load_state_dict({key: state[key].float() for key in own})
