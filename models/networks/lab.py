"""CIE Lab, and a generator of colours as one of whole images.

Lightness L and colours a, b are those of sRGB under D65, as in the established colorization: L / 50 - 1 and a, b / 110.
Whole images are (N,3,H,W) or grey (N,1,H,W) in [-1,1].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.networks.ranges import from_unit, to_unit
from models.networks.stages import Join, Keep, Stage
from models.networks.wrapper import Wrapper
from util.precision import widened

_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)
_TO_RGB = torch.linalg.inv(torch.tensor(_TO_XYZ, dtype=torch.float64)).tolist()
_LIGHT, _COLOURS = 50.0, 110.0


def rgb_to_lab(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return L (N,1,H,W) in [-1,1] and a, b (N,2,H,W), mostly in [-1,1], of whole images."""
    unit = to_unit(widened(image)).clamp(0, 1)
    if unit.shape[1] == 1:
        unit = unit.expand(-1, 3, -1, -1)
    linear = torch.where(unit > 0.04045, ((unit + 0.055) / 1.055) ** 2.4, unit / 12.92)
    x, y, z = (_root(part / white) for part, white in zip(_mixed(linear, _TO_XYZ), _WHITE, strict=True))
    lightness, colours = 116 * y - 16, torch.cat([500 * (x - y), 200 * (y - z)], 1)
    return lightness / _LIGHT - 1, colours / _COLOURS


def lab_to_rgb(lightness: Tensor, colours: Tensor) -> Tensor:
    """Return the whole image (N,3,H,W) of L and a, b; what no screen can show is clipped."""
    wide = widened(colours)
    y = ((lightness.to(wide.dtype) + 1) * _LIGHT + 16) / 116
    x, z = y + wide[:, :1] * (_COLOURS / 500), y - wide[:, 1:] * (_COLOURS / 200)
    parts = [_power(part.clamp_min(0)) * white for part, white in zip((x, y, z), _WHITE, strict=True)]
    linear = torch.cat(_mixed(torch.cat(parts, 1), _TO_RGB), 1).clamp(0, 1)
    return from_unit(torch.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear).clamp(0, 1))


def _mixed(x: Tensor, matrix: Any) -> list[Tensor]:
    """Return the rows' sums, (N,1,H,W) each; no matrix product, which autocast would round."""
    return [sum(weight * x[:, i : i + 1] for i, weight in enumerate(row)) for row in matrix]  # type: ignore[misc]


def _root(t: Tensor) -> Tensor:
    return torch.where(t > 0.008856, t.clamp_min(1e-6) ** (1 / 3), 7.787 * t + 16 / 116)


def _power(f: Tensor) -> Tensor:
    return torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)


class ToLightness(nn.Identity):
    """Whole image -> L as a layer; an Identity, because tiling asks no more of it than of one."""

    def forward(self, x: Tensor) -> Tensor:
        return rgb_to_lab(x)[0].to(x.dtype)


class ToWhole(nn.Identity):
    """A whole image with other colours a, b behind it, (N,C+2,H,W) -> the same lightness in these colours."""

    def forward(self, x: Tensor) -> Tensor:
        return lab_to_rgb(rgb_to_lab(x[:, :-2])[0], x[:, -2:])


class LabColorizer(Wrapper):
    """Whole image -> the same lightness in new colours, by a network from L (N,1,H,W) to a, b (N,2,H,W)."""

    declared = ("size_multiple", "scale", "receptive_field", "test_norm", "not_exportable", "own_state")

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.fit()

    def fit(self) -> None:
        super().fit()
        if hasattr(self.network, "stages"):
            self.stages = self._stages

    def colours(self, image: Tensor) -> Tensor:
        """Return a, b (N,2,H,W) for the lightness of a whole image."""
        return self.network(rgb_to_lab(image)[0].to(image.dtype))  # engines give and expect 16 bits

    def forward(self, x: Tensor) -> Tensor:
        return lab_to_rgb(rgb_to_lab(x)[0], self.colours(x))

    def _stages(self) -> list[Stage]:
        whole = Keep()
        inner = self.network.stages()
        return [whole, ToLightness(), *inner, Join(whole, channels=True), ToWhole()]
