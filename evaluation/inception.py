"""The networks whose features FID and KID compare, from files that are already on this machine.

Figures of two networks have nothing to do with each other, so each has names of its own: ``fid`` is that of the network
of the published figures, ``fid_torchvision`` that of torchvision's Inception, and ``fid_lite0`` a small stand-in.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from evaluation.distribution import frechet_distance, kernel_distance
from models.networks.foreign import load_weights
from util.errors import UserError
from util.weights import local_weights

_CACHED = ("pt_inception-2015-12-05-*.pth", "inception_v3_google-*.pth")
_AT_ONCE = 16
_WANTED = "give the FID Inception (pt_inception-2015-12-05), torchvision's inception_v3 or EfficientNet-lite0"


@dataclass(frozen=True)
class FeatureNetwork:
    """A network (N,3,S,S) in [-1,1] to (N,d), the size S it wants, and what its figures are called."""

    network: Callable[[Tensor], Tensor]
    size: int
    suffix: str
    source: str
    antialias: bool = False

    @torch.no_grad()
    def features(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Return (n,d) float64 of n images (H,W,C) in [0,1]; grey is repeated, of more than 3 channels 3 count."""
        found, batch = [], []
        for image in images:
            batch.append(self._prepared(image))
            if len(batch) == _AT_ONCE:
                found.append(self.network(torch.cat(batch)))
                batch = []
        if batch:
            found.append(self.network(torch.cat(batch)))
        return torch.cat(found).double().numpy() if found else np.zeros((0, 1))

    def compare(self, fakes: Iterable[np.ndarray], reals: Iterable[np.ndarray]) -> dict[str, float]:
        """Return FID and KID of two sets of images (H,W,C) in [0,1]; nothing for fewer than two in either."""
        first, second = self.features(fakes), self.features(reals)
        if min(len(first), len(second)) < 2:
            return {}
        distances = {"fid": frechet_distance(first, second), "kid": kernel_distance(first, second)}
        return {f"{name}{self.suffix}": value for name, value in distances.items()}

    def _prepared(self, image: np.ndarray) -> Tensor:
        colour = np.repeat(image[..., :1], 3, axis=2) if image.shape[2] < 3 else image[..., :3]
        tensor = torch.from_numpy(np.ascontiguousarray(colour.transpose(2, 0, 1), np.float32))[None] * 2 - 1
        size = (self.size, self.size)
        return F.interpolate(tensor, size=size, mode="bilinear", align_corners=False, antialias=self.antialias)


def load_features(weights: str) -> FeatureNetwork:
    """Return the network of a file, URL or hub name, or for "auto" the Inception in torch's cache.

    Raises:
        UserError: there is none, or the file holds something else.
    """
    path = local_weights(weights, "--fid_weights") if weights != "auto" else _cached()
    try:
        state = {name: value.float() for name, value in load_weights(path).items()}
    except UserError as error:
        raise UserError(f"--fid_weights {error}") from None
    try:
        return _recognised(state, path)
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"--fid_weights {path}: {reason}; {_WANTED}") from None


def _cached() -> pathlib.Path:
    folder = pathlib.Path(torch.hub.get_dir()) / "checkpoints"
    found = [path for pattern in _CACHED for path in sorted(folder.glob(pattern))]
    if not found:
        raise UserError(f"--fid_weights auto: no Inception weights in {folder}; {_WANTED} as a file")
    return found[0]


def _recognised(state: Mapping[str, Tensor], path: pathlib.Path) -> FeatureNetwork:
    if "Conv2d_1a_3x3.conv.weight" in state:
        published = len(state.get("fc.bias", ())) == 1008
        kind, suffix = ("FID Inception", "") if published else ("torchvision Inception", "_torchvision")
        return FeatureNetwork(_inception(state, published), 299, suffix, f"{kind} ({path.name})")
    if "_conv_stem.weight" in state or "conv_stem.weight" in state:
        return FeatureNetwork(_lite0(state), 224, "_lite0", f"EfficientNet-lite0 ({path.name})", antialias=True)
    raise UserError(f"--fid_weights {path}: no network that is known here; {_WANTED}")


def _inception(state: Mapping[str, Tensor], published: bool) -> nn.Module:
    """Return Inception v3 up to its 2048 pooled features.

    The network of the published figures differs from torchvision's in its pools: averages leave the padding out, and
    the last block takes the maximum.
    """
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
    network.fc = nn.Identity()
    network.load_state_dict({key: value for key, value in state.items() if not key.startswith(("fc.", "AuxLogits."))})
    if published:
        for name, block in list(network.named_children()):
            if name.startswith("Mixed_") and name not in ("Mixed_6a", "Mixed_7a"):
                setattr(network, name, _OwnPool(block, largest=name == "Mixed_7c"))
    return network.eval().requires_grad_(False)


class _OwnPool(nn.Module):
    """A block of Inception whose pooling branch pools as in the network of the published figures."""

    def __init__(self, block: nn.Module, *, largest: bool) -> None:
        super().__init__()
        self.block, self.largest = block, largest

    def forward(self, x: Tensor) -> Tensor:
        block: Any = self.block
        *others, _ = block._forward(x)
        pooled = F.max_pool2d(x, 3, 1, 1) if self.largest else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return torch.cat([*others, block.branch_pool(pooled)], 1)


_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHERS = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw"},
    **{"_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"},
}
_ENDS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}


def _lite0(state: Mapping[str, Tensor]) -> nn.Module:
    """Return EfficientNet-lite0 up to its 1280 pooled features, from timm's keys or those of the original's port."""
    import timm

    network: Any = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    places = [f"{stage}.{block}" for stage, blocks in enumerate(network.blocks) for block in range(len(blocks))]
    kept = [key for key in state if not key.startswith(("classifier.", "_fc."))]
    network.load_state_dict({_timm_key(key, places): state[key] for key in kept})
    return network.eval().requires_grad_(False)


def _timm_key(key: str, places: Sequence[str]) -> str:
    if not key.startswith("_"):
        return key
    if not key.startswith("_blocks."):
        layer, _, rest = key.partition(".")
        return f"{_ENDS[layer]}.{rest}"
    _, number, layer, rest = key.split(".", 3)
    return f"blocks.{places[int(number)]}.{(_FIRST if number == '0' else _OTHERS)[layer]}.{rest}"
