"""Random blur kernels, as Real-ESRGAN draws them (Wang et al. 2021, arXiv:2107.10833, sections 3.1 and 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

_SHAPES = {  # name: (probability, whether both widths are equal)
    "gaussian": ((0.45, True), (0.25, False)),
    "generalized": ((0.12, True), (0.03, False)),
    "plateau": ((0.12, True), (0.03, False)),
}
_SIZES = tuple(range(7, 22, 2))


@dataclass(frozen=True)
class BlurRange:
    """Limits of random kernels: widths in pixels, the exponents of the two other shapes, the chance of a sinc."""

    sigma: tuple[float, float]
    generalized: tuple[float, float] = (0.5, 4.0)
    plateau: tuple[float, float] = (1.0, 2.0)
    sinc: float = 0.1


def draw_kernel(limits: BlurRange, random: np.random.Generator) -> np.ndarray:
    """Return a random kernel (k,k) with a sum of 1, k odd from 7 to 21."""
    if random.random() < limits.sinc:
        return draw_sinc(random)
    size = int(random.choice(_SIZES))
    kinds = [(shape, p, equal) for shape, variants in _SHAPES.items() for p, equal in variants]
    shape, _, equal = kinds[random.choice(len(kinds), p=[p for _, p, _ in kinds])]
    across, along = random.uniform(*limits.sigma), random.uniform(*limits.sigma)
    angle = random.uniform(-math.pi, math.pi)
    distance = squared_distance(size, across, across if equal else along, angle)
    return _normalized(_profile(shape, distance, limits, random))


def gaussian_kernel(size: int, across: float, along: float, angle: float) -> np.ndarray:
    """Return a Gaussian (size,size) with a sum of 1; widths in pixels, angle in radians."""
    return _normalized(np.exp(-0.5 * squared_distance(size, across, along, angle)))


def squared_distance(size: int, across: float, along: float, angle: float) -> np.ndarray:
    """Return each pixel's squared distance from the center, (size,size), in units of the two widths."""
    axis = np.arange(size) - size // 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    first, second = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
    return (first / across) ** 2 + (second / along) ** 2


def _profile(shape: str, distance: np.ndarray, limits: BlurRange, random: np.random.Generator) -> np.ndarray:
    if shape == "gaussian":
        return np.exp(-0.5 * distance)
    low, high = limits.generalized if shape == "generalized" else limits.plateau
    exponent = random.uniform(low, 1.0) if random.random() < 0.5 else random.uniform(1.0, high)
    powered = distance**exponent
    return np.exp(-0.5 * powered) if shape == "generalized" else 1 / (1 + powered)


def draw_sinc(random: np.random.Generator, lowest: float | None = None) -> np.ndarray:
    """Return a random sinc kernel, which makes ringing; ``lowest`` cutoff in radians, by its size where not given."""
    size = int(random.choice(_SIZES))
    lowest = lowest or (math.pi / 3 if size < 13 else math.pi / 5)
    return sinc_kernel(size, random.uniform(lowest, math.pi))


def sinc_kernel(size: int, cutoff: float) -> np.ndarray:
    """Return the circular low-pass filter (size,size) with a sum of 1; ``cutoff`` in radians a pixel, up to pi."""
    radius = np.sqrt(squared_distance(size, 1.0, 1.0, 0.0))
    bessel = torch.special.bessel_j1(torch.from_numpy(cutoff * radius)).numpy()
    center = cutoff**2 / (4 * math.pi)
    with np.errstate(invalid="ignore", divide="ignore"):
        kernel = np.where(radius > 0, cutoff * bessel / (2 * math.pi * radius), center)
    return _normalized(kernel)


def _normalized(kernel: np.ndarray) -> np.ndarray:
    return kernel / kernel.sum()
