"""Enlargement by convolution and pixel shuffle (Shi et al. 2016, arXiv:1609.05158), by 3 or by doublings."""

from __future__ import annotations

from torch import Tensor, nn

from util.errors import UserError


def factors(scale: int, network: str, allowed: tuple[int, ...] = (1, 2, 3, 4, 8)) -> list[int]:
    """Return the steps of an enlargement: [2, 2] for 4, [3] for 3, [] for 1; UserError for what cannot be."""
    if scale not in allowed:
        choices = ", ".join(map(str, allowed[:-1])) + f" or {allowed[-1]}"
        raise UserError(f"--scale {scale} is not supported by {network}: use {choices}")
    return [3] if scale == 3 else [2] * (scale.bit_length() - 1)


def subpixel_layers(channels: int, steps: list[int]) -> list[nn.Module]:
    """Return a convolution and a pixel shuffle for each step; ``channels`` before and after."""
    layers: list[nn.Module] = []
    for step in steps:
        layers += [nn.Conv2d(channels, step * step * channels, 3, padding=1), nn.PixelShuffle(step)]
    return layers


def subpixel_reach(steps: list[int]) -> list[int]:
    """Return the same layers as :func:`models.networks.reach.receptive_field` takes them."""
    return [number for step in steps for number in (1, -step)]


def added(base: Tensor, x: Tensor) -> Tensor:
    """Return ``x`` on top of the enlarged input, where both have the same channels; ``x`` alone otherwise."""
    return base + x if base.shape[1] == x.shape[1] else x
