"""A U-Net whose way down is any network of timm that gives its features (https://github.com/huggingface/pytorch-image-models).

The way up is plain: enlarge, join the features of that size, two convolutions. At the end the input itself is joined,
so that details need not pass through the encoder. Without batch norm in the encoder, as in NFNets (Brock et al. 2021,
arXiv:2102.06171), train with ``--agc``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.common import PlainOptions
from models.networks.initialise import init_weights
from util.errors import UserError, did_you_mean, one_line
from util.option import option

_HALF = 0.5  # part of an encoder's tensors that a file must have to count as its weights


@dataclass(frozen=True)
class TimmUnetOptions(PlainOptions):
    ngf: int = option(32, "filters of the generator's outermost layers", scope="identity", minimum=1)
    encoder: str = option(
        "resnet18", "timm network on the way down, such as resnet34, convnext_tiny or nfnet_l0; weights by --init_from",
        "identity",
    )  # fmt: skip


class TimmUnet(nn.Module):
    """Translate (N,input_nc,H,W) in [-1,1] to (N,output_nc,H,W) in [-1,1].

    ``--init_from`` takes a run of this network, or a file of timm's own weights for the encoder alone.

    Raises:
        UserError: timm knows no such network, or it gives no features.
    """

    scale = 1
    mean: Tensor
    deviation: Tensor

    def __init__(self, encoder: str, input_nc: int, output_nc: int, ngf: int) -> None:
        super().__init__()
        self.name, self.input_nc = encoder, input_nc
        self.encoder = make_encoder(encoder, input_nc)
        info = self.encoder.feature_info
        sizes, widths = [1, *info.reduction()], [input_nc, *info.channels()]
        self.size_multiple = sizes[-1]
        mean, deviation = (_per_channel(info_of(encoder)[key], input_nc) for key in ("mean", "std"))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)
        self.up, before = nn.ModuleList(), widths[-1]
        self.ratios = [coarse // fine for fine, coarse in zip(sizes, sizes[1:], strict=False)]
        for level in reversed(range(len(sizes) - 1)):
            after = min(ngf * sizes[level], 8 * ngf)
            self.up.append(_block(before + widths[level], after))
            before = after
        self.last = nn.Conv2d(before, output_nc, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = [x, *self.encoder(((x * 0.5 + 0.5) - self.mean) / self.deviation)]
        y = skips.pop()
        for ratio, block in zip(reversed(self.ratios), self.up, strict=True):
            larger = F.interpolate(y, scale_factor=ratio) if ratio > 1 else y
            y = block(torch.cat([larger, skips.pop()], 1))
        return self.last(y).tanh()

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Fill the encoder as timm does, the rest by He et al. 2015; the generator decides both."""
        for part in (self.up, self.last):
            init_weights(part, "kaiming", generator=generator)
        begin_again(self.encoder, self.name, self.input_nc, generator)

    def own_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights under this network's keys, also those of a file that holds timm's encoder alone."""
        places = {_flat(key): key for key in self.encoder.state_dict()}
        found = {places[_flat(key)]: value for key, value in state.items() if _flat(key) in places}
        if len(found) < _HALF * len(places):
            return dict(state)
        return {f"encoder.{key}": _fitted(value, self.encoder.state_dict()[key]) for key, value in found.items()}


def make_encoder(name: str, input_nc: int) -> Any:
    """Return timm's network as a list of features from fine to coarse, for images of any size where it can."""
    import timm

    if not timm.is_model(name):
        hint = did_you_mean(name, timm.list_models())
        raise UserError(f"--encoder {name}: timm has no such network{hint}")
    try:
        return _made(name, input_nc, dynamic_img_size=True)
    except TypeError:  # of a convolutional network, which takes any size without being told
        return _made(name, input_nc)


def begin_again(encoder: nn.Module, name: str, input_nc: int, generator: torch.Generator | None) -> None:
    """Fill an encoder as timm does, with random numbers of the generator."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder.load_state_dict(make_encoder(name, input_nc).state_dict())


def _made(name: str, input_nc: int, **more: Any) -> Any:
    import timm

    try:
        return timm.create_model(name, features_only=True, in_chans=input_nc, **more)
    except (RuntimeError, AttributeError, ValueError) as error:
        raise UserError(f"--encoder {name}: it gives no features ({one_line(error)}); try resnet34") from None


def info_of(name: str) -> dict[str, Any]:
    """Return what timm says of the images that a network was published for."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return {key: getattr(config, key, None) or (0.5, 0.5, 0.5) for key in ("mean", "std")}


def _per_channel(values: tuple[float, ...], channels: int) -> Tensor:
    """Return (1,channels,1,1): the values themselves for RGB, their mean for others."""
    numbers = torch.tensor(values, dtype=torch.float32)
    return (numbers if channels == len(numbers) else numbers.mean().expand(channels)).reshape(1, -1, 1, 1).clone()


def _block(inputs: int, outputs: int) -> nn.Sequential:
    first, second = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
    return nn.Sequential(first, nn.SiLU(), second, nn.SiLU())


def _flat(key: str) -> str:
    """Return a key without the places of its dots, which timm moves where a network gives features."""
    return key.removeprefix("model.").replace(".", "_")


def _fitted(value: Tensor, own: Tensor) -> Tensor:
    """Return the weight of a first layer for RGB for as many channels as there are here."""
    if value.ndim == own.ndim == 4 and value.shape[1] == 3 != own.shape[1] and value.shape[0] == own.shape[0]:
        from timm.models import adapt_input_conv

        return adapt_input_conv(own.shape[1], value)
    return value


@GENERATORS.register("timm_unet", options=TimmUnetOptions)
def timm_unet(options: TimmUnetOptions, input_nc: int, output_nc: int) -> TimmUnet:
    """U-Net with any encoder of timm, such as a ResNet, ConvNeXt or NFNet."""
    return TimmUnet(options.encoder, input_nc, output_nc, options.ngf)
