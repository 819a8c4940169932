"""Depth maps of etched structures: contact holes, ellipses, hole arrays, lines and trenches on several levels.

Lengths in pixels across (1 pixel = :data:`NM_PER_PIXEL` nm), depths in nanometres below the top reference plane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NM_PER_PIXEL = 2.0
LEVELS_NM = (40.0, 80.0, 120.0, 160.0)  # the background lies on one of these


@dataclass(frozen=True)
class ShapeStatistics:
    """What the structures of a domain are like; every pair is the (low, high) of a uniform distribution."""

    radius: tuple[float, float] = (5.0, 13.0)  # pixels
    pitch: tuple[float, float] = (2.6, 3.6)  # of a hole array, in radii
    jitter: float = 0.12  # standard deviation of a hole's place, in radii
    etch_nm: tuple[float, float] = (50.0, 230.0)
    wall: tuple[float, float] = (1.5, 4.5)  # width of the sloped sidewall, pixels
    ellipse: tuple[float, float] = (0.6, 1.0)  # minor over major axis
    level_odds: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    line_share: float = 0.3  # lines instead of holes


@dataclass(frozen=True)
class Surface:
    """A depth map (H,W) float64 in nm, and which of :data:`LEVELS_NM` its background lies on."""

    depth: np.ndarray
    level: int


def draw_surface(rng: np.random.Generator, size: int, statistics: ShapeStatistics) -> Surface:
    """Draw one surface of size x size pixels: holes or lines etched into a slightly rough background."""
    level = int(rng.choice(len(LEVELS_NM), p=statistics.level_odds))
    etch, wall = rng.uniform(*statistics.etch_nm), rng.uniform(*statistics.wall)
    draw = _lines if rng.random() < statistics.line_share else _holes
    depth = LEVELS_NM[level] + etch * draw(rng, size, statistics, wall)
    return Surface(depth + _rough(rng, (size, size), 6.0, 0.6), level)


def _holes(rng: np.random.Generator, size: int, statistics: ShapeStatistics, wall: float) -> np.ndarray:
    """Return 0 (background) to about 1 (bottom) for a square or hexagonal array, or a few scattered holes."""
    radius = rng.uniform(*statistics.radius)
    ratio, angle = rng.uniform(*statistics.ellipse), rng.uniform(0.0, np.pi)
    share = np.zeros((size, size))
    for x, y in _centres(rng, size, radius, statistics):
        bottom, own_radius = 1.0 + rng.normal(0.0, 0.03), radius * (1.0 + rng.normal(0.0, 0.04))
        rows, columns = (slice(max(0, int(c - 1.5 * radius - wall)), int(c + 1.5 * radius + wall) + 2) for c in (y, x))
        inside = _ellipse(rng, np.mgrid[0:size, 0:size][:, rows, columns], (x, y), own_radius, ratio, angle)
        share[rows, columns] = np.maximum(share[rows, columns], bottom * _sidewall(inside, wall))
    return share


def _centres(rng: np.random.Generator, size: int, radius: float, statistics: ShapeStatistics) -> np.ndarray:
    pitch = radius * rng.uniform(*statistics.pitch)
    rows = np.arange(-1, int(size / pitch) + 3)
    x, y = (grid.astype(np.float64) for grid in np.meshgrid(rows, rows))
    if rng.random() < 0.5:  # hexagonal
        x, y = x + 0.5 * (y % 2), y * np.sqrt(0.75)
    centres = np.stack([x.ravel(), y.ravel()], 1) * pitch - rng.uniform(0.0, pitch, 2)
    centres += rng.normal(0.0, statistics.jitter * radius, centres.shape)
    near = np.all((centres > -radius) & (centres < size + radius), axis=1)
    kept = centres[near]
    return kept[rng.random(len(kept)) < rng.choice([1.0, 0.6])]  # a full array, or one with holes missing


def _ellipse(
    rng: np.random.Generator, grid: np.ndarray, centre: tuple[float, float], radius: float, ratio: float, angle: float
) -> np.ndarray:
    """Return the distance (pixels, approximately) inside an ellipse with a slightly wavy outline; negative outside.

    ``grid`` (2,h,w) holds the rows and columns of the pixels asked for.
    """
    x, y = grid[1] - centre[0], grid[0] - centre[1]
    u, v = x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) / ratio
    phi = np.arctan2(v, u)
    waves = sum(rng.normal(0.0, 0.02) * np.cos(k * phi + rng.uniform(0.0, 2.0 * np.pi)) for k in (2, 3, 5))
    return (radius * (1.0 + waves) - np.hypot(u, v)) * np.sqrt(ratio)


def _lines(rng: np.random.Generator, size: int, statistics: ShapeStatistics, wall: float) -> np.ndarray:
    """Return 0 (background) to 1 (bottom) for parallel trenches with rough edges, upright or lying."""
    half = rng.uniform(*statistics.radius) * 0.8
    pitch = 2.0 * half * rng.uniform(1.7, 2.8)
    across = np.arange(size, dtype=np.float64)[None, :]
    share = np.zeros((size, size))
    for centre in np.arange(-rng.uniform(0.0, pitch), size + pitch, pitch):
        left, right = (_rough(rng, (size, 1), 4.0, 0.5) for _ in range(2))
        inside = np.minimum(across - (centre - half + left), (centre + half + right) - across)
        share = np.maximum(share, _sidewall(inside, wall))
    return share.T if rng.random() < 0.5 else share


def _sidewall(inside: np.ndarray, wall: float) -> np.ndarray:
    """Map the distance inside an outline to 0..1 over a sidewall of the given width, rounded at both ends."""
    t = np.clip(0.5 + inside / wall, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _rough(rng: np.random.Generator, shape: tuple[int, int], correlation: float, deviation: float) -> np.ndarray:
    """Return correlated noise of a standard deviation; the correlation length is in pixels."""
    noise = blur(rng.standard_normal(shape), correlation if shape[1] > 1 else 0.0, correlation)
    return noise * (deviation / max(float(noise.std()), 1e-12))


def blur(image: np.ndarray, sigma_x: float, sigma_y: float | None = None) -> np.ndarray:
    """Blur (H,W) by a Gaussian of the given standard deviations in pixels; edges are repeated."""
    rows = _blur_rows(image, sigma_x)
    return _blur_rows(rows.T, sigma_x if sigma_y is None else sigma_y).T


def _blur_rows(image: np.ndarray, sigma: float) -> np.ndarray:
    if sigma <= 0.0:
        return image
    reach = int(np.ceil(3.0 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(image, ((0, 0), (reach, reach)), mode="edge")
    parts = (tap * padded[:, i : i + image.shape[1]] for i, tap in enumerate(taps / taps.sum()))
    return np.asarray(sum(parts))
