"""What can be put around any generator: the input is added to its output, and it works on a smaller image.

The image is what the generator's input begins with; other channels may follow it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.stages import Join, Keep, Stage
from models.networks.wrapper import Wrapper
from util.errors import UserError

_PROBE = 64  # pixels; side of the image that tells which layer is the last
_SILENT = 1e-4


class Around(Wrapper):
    """(N,input_nc,H,W) -> (N,output_nc,H,W), both in [-1,1], by a network and what is done before and after it.

    Args:
        network: of enlargement 1; with ``residual`` its last layer becomes zero, so that the output is the input.
        channels: of its input and its output.
        image_nc: how many of the input's channels are the image, the first ones; all unless said.
        residual: the network's output is added to the image.
        work_scale: the network sees everything so many times smaller, and the difference that it makes is enlarged
            and added to the image, so that this keeps its detail.
        inputs: what all the input's channels are, where there are more than the image's. Who translates whole images
            makes them.

    Raises:
        UserError: the network enlarges, cannot give a residual, or gives other channels than the image has.
    """

    scale = 1
    declared = ("test_norm", "not_exportable", "own_state")
    silent: Tensor

    def __init__(
        self,
        network: nn.Module,
        channels: tuple[int, int],
        *,
        image_nc: int | None = None,
        residual: bool = False,
        work_scale: int = 1,
        inputs: Any = None,
    ) -> None:
        super().__init__()
        self.network, self.channels, self.image_nc, self.inputs = network, channels, image_nc or channels[0], inputs
        self.residual, self.work_scale = residual, work_scale
        self.register_buffer("silent", torch.zeros(()), persistent=False)
        self.fit()

    def fit(self) -> None:
        super().fit()
        if self.waits:
            return
        network, (input_nc, output_nc) = self.network, self.channels
        _check(network, self.image_nc, output_nc, self.residual, self.work_scale)
        self.size_multiple = self.work_scale * getattr(network, "size_multiple", 1)
        if hasattr(network, "receptive_field"):
            reach: int = network.receptive_field
            self.receptive_field = reach if self.work_scale == 1 else (reach + 2) * self.work_scale
        if hasattr(network, "stages"):
            self.stages = self._stages
        if hasattr(network, "features") and self.work_scale == 1:
            self.features = network.features
        if self.residual:
            self.silent = silence_last_layer(network, input_nc)

    def forward(self, x: Tensor) -> Tensor:
        small = F.avg_pool2d(x, self.work_scale) if self.work_scale > 1 else x
        result = self.network(small)
        if self.residual:
            result = result - self.silent
        elif self.work_scale > 1:
            result = result - small[:, : self.image_nc]
        else:
            return result
        if self.work_scale > 1:
            result = F.interpolate(result, scale_factor=self.work_scale, mode="bilinear")
        return x[:, : self.image_nc] + result

    def _stages(self) -> list[Stage]:
        image, small = Keep(), Keep()
        inner: list[Stage] = list(self.network.stages())  # type: ignore[operator]
        if self.residual:
            inner += [Plus(-self.silent)]
        elif self.work_scale > 1:
            inner = [small, *inner, Less(small)]
        if self.work_scale > 1:
            inner = [nn.AvgPool2d(self.work_scale), *inner, nn.Upsample(scale_factor=self.work_scale, mode="bilinear")]
        plain = not self.residual and self.work_scale == 1
        return inner if plain else [image, *inner, Join(image)]


class Plus(nn.Identity):
    """x -> x + value as a layer; an Identity, because tiling asks no more of it than of one."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return x + self.value


class Less(Join):
    """The current tensor less the first channels of a kept one."""

    def __call__(self, kept: Tensor, x: Tensor) -> Tensor:
        """Return the difference of the two (N,C,H,W)."""
        return x - kept[:, : x.shape[1]]


def _check(network: nn.Module, image_nc: int, output_nc: int, residual: bool, work_scale: int) -> None:
    enlarges = getattr(network, "scale", 1)
    kind = type(network).__name__
    if enlarges != 1:
        raise UserError(
            f"{kind} enlarges {enlarges} times, but --residual, --work_scale, --context, --coordinates and "
            "--input_norms are for outputs of the input's size: use --scale 1, or leave them out"
        )
    flag = "--residual" if residual else f"--work_scale {work_scale}"
    if (residual or work_scale > 1) and image_nc != output_nc:
        raise UserError(
            f"{flag} adds to the input, which has {image_nc} channels and the output {output_nc}: leave it out, or "
            "make --input_nc and --output_nc equal"
        )


@torch.no_grad()
def silence_last_layer(network: nn.Module, input_nc: int) -> Tensor:
    """Let the last convolution that a network runs give nothing; return the pixel (1,C,1,1) that it gives then.

    UserError where the output depends on the input even so: the network adds it by itself.
    """
    multiple = getattr(network, "size_multiple", 1)
    side = -(-_PROBE // multiple) * multiple
    image = torch.linspace(-1, 1, input_nc * side * side).view(1, input_nc, side, side)
    was_training = network.training
    network.eval()
    for parameter in _last_convolution(network, image).parameters():
        parameter.zero_()
    output = network(image)
    network.train(was_training)
    pixel = output.mean((0, 2, 3), keepdim=True)
    if (output - pixel).abs().max() > _SILENT:
        raise UserError(f"--residual: {type(network).__name__} adds its input to its output by itself; leave it out")
    return pixel


def _last_convolution(network: nn.Module, image: Tensor) -> nn.Module:
    done: list[nn.Module] = []
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(lambda layer, _, __: done.append(layer)) for layer in layers]
    try:
        network(image)
    finally:
        for hook in hooks:
            hook.remove()
    return done[-1]
