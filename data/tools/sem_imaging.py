"""A simple scanning electron microscope: depth map in, noisy image out.

The signal is secondary electrons (SE). What is modelled, and where it is described:

- yield by slope, delta(theta) = delta(0) / cos(theta): H. Seiler, "Secondary electron emission in the scanning
  electron microscope", J. Appl. Phys. 54 (1983) R1-R18; L. Reimer, "Scanning Electron Microscopy", 2nd ed.,
  Springer 1998, ch. 4. The finite escape depth bounds it at steep walls;
- shadowing: SE leave with a cosine law, so from a point whose horizon stands at the angle alpha the share
  cos(alpha)^2 gets out, averaged over the directions (horizon maps: N. Max, "Horizon mapping: shadows for
  bump-mapped surfaces", The Visual Computer 4 (1988) 109-117). The detector's field draws out some of the rest;
- a detector at one side, charging that trails behind bright edges along the scan, beam blur that grows with the
  distance from focus, and Poisson noise of the dose (Reimer 1998, ch. 2-4).

Constants are plausible, not calibrated: these images are for demonstrations and tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.tools.sem_shapes import NM_PER_PIXEL, Surface, blur


@dataclass(frozen=True)
class Microscope:
    """One instrument and its settings; every pair is the (low, high) of a uniform distribution."""

    dose: tuple[float, float] = (40.0, 90.0)  # detected electrons per pixel on flat ground
    gain: tuple[float, float] = (0.85, 1.15)
    offset: tuple[float, float] = (0.0, 0.03)  # of full scale
    gamma: float = 1.0  # contrast curve
    blur: float = 0.7  # beam at the top plane, standard deviation in pixels
    astigmatism: float = 1.0  # vertical over horizontal blur
    side: float = 0.12  # how much brighter a slope towards the detector is
    charging: tuple[float, float] = (0.02, 0.08)
    drift: float = 0.0  # pixels, from the first row to the last
    contamination: float = 0.0  # loss of signal from one corner to the opposite one


_STEEPEST = 0.3  # 1 / sqrt(cos^2 + this^2): the yield of a vertical wall is 3.3 times that of flat ground
_EXTRACTION = 0.35  # exponent on the visible share of the sky; 1 would be no extraction field at all
_MATERIAL = 0.07  # loss of signal per background level
_DEFOCUS = 0.4  # further blur per background level, pixels
_FLAT = 0.33  # flat ground on the top level in units of full scale


def signal(surface: Surface, microscope: Microscope) -> np.ndarray:
    """Return the noise-free signal (H,W) float64 of a surface, 1 = flat ground on the top level."""
    height = -surface.depth / NM_PER_PIXEL
    slope_y, slope_x = np.gradient(height)
    steepness = 1.0 + slope_x**2 + slope_y**2  # 1 / cos^2
    emitted = 1.0 / np.sqrt(1.0 / steepness + _STEEPEST**2) * np.sqrt(1.0 + _STEEPEST**2)
    facing = 1.0 - microscope.side * slope_x / np.sqrt(steepness)
    escaped = visible_sky(height) ** _EXTRACTION
    image = (1.0 - _MATERIAL * surface.level) * emitted * facing * escaped
    sigma = np.hypot(microscope.blur, _DEFOCUS * surface.level)
    return blur(image, sigma, sigma * microscope.astigmatism)


def visible_sky(height: np.ndarray, directions: int = 8) -> np.ndarray:
    """Return the share (H,W) in (0,1] of cosine-law electrons that meet no wall; heights in pixels."""
    sky = np.zeros_like(height)
    reach = 16
    padded = np.pad(height, reach, mode="reflect" if min(height.shape) > reach else "edge")
    rows, columns = height.shape
    for angle in np.arange(directions) * (2.0 * np.pi / directions):
        horizon = np.zeros_like(height)
        for distance in (1, 2, 3, 4, 6, 8, 11, 15):
            dy, dx = round(distance * np.sin(angle)), round(distance * np.cos(angle))
            other = padded[reach + dy : reach + dy + rows, reach + dx : reach + dx + columns]
            np.maximum(horizon, (other - height) / np.hypot(dx, dy), out=horizon)
        sky += 1.0 / (1.0 + horizon**2)
    return sky / directions


def record(rng: np.random.Generator, clean: np.ndarray, microscope: Microscope) -> np.ndarray:
    """Scan a clean signal once: contamination, charging, shot noise, gain; returns (H,W) float64 in [0,1]."""
    dirty = clean * _contamination(rng, clean.shape, microscope.contamination)
    charged = np.maximum(dirty - rng.uniform(*microscope.charging) * _trail(dirty), 0.02)
    dose = rng.uniform(*microscope.dose)
    counted = rng.poisson(charged * dose) / dose
    flicker = 1.0 + 0.01 * rng.standard_normal((clean.shape[0], 1))  # the beam current changes from line to line
    level = rng.uniform(*microscope.offset) + _FLAT * rng.uniform(*microscope.gain) * counted * flicker
    return np.clip(level, 0.0, 1.0) ** microscope.gamma


def _trail(image: np.ndarray, length: float = 14.0) -> np.ndarray:
    """Return what earlier pixels of a scan line left: excess signal that decays over ``length`` pixels."""
    excess, trail = np.maximum(image - 1.0, 0.0), np.zeros_like(image)
    for column in range(1, image.shape[1]):
        trail[:, column] = np.exp(-1.0 / length) * trail[:, column - 1] + excess[:, column - 1]
    return trail


def _contamination(rng: np.random.Generator, shape: tuple[int, ...], loss: float) -> np.ndarray:
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / max(shape)
    angle = rng.uniform(0.0, 2.0 * np.pi)
    ramp = 0.5 + 0.7 * ((columns - 0.5) * np.cos(angle) + (rows - 0.5) * np.sin(angle))
    return 1.0 - loss * np.clip(ramp, 0.0, 1.0)


def drifted(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Move every row of (H,W) sideways by its own number of pixels in ``shift`` (H,), interpolating linearly."""
    columns = np.arange(image.shape[1], dtype=np.float64)
    return np.stack([np.interp(columns + s, columns, row) for s, row in zip(shift, image, strict=True)])


def draw_drift(rng: np.random.Generator, rows: int, pixels: float) -> np.ndarray:
    """Return one sideways shift per row: a slow bend of about ``pixels`` and a little vibration."""
    t = np.linspace(0.0, 1.0, rows)
    bend = rng.normal() * t + rng.normal() * t**2 + 0.3 * np.sin(2.0 * np.pi * (t * rng.uniform(1, 3) + rng.random()))
    return pixels * bend + 0.1 * (pixels > 0) * rng.standard_normal(rows)
