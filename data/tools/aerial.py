"""Scenes as seen from a plane, in linear light (size, size, 3): fields, woods, water, roads and houses."""

from __future__ import annotations

import numpy as np

from data.tools.linear_light import Random, clouds, grid, painted, softly

_CROPS = np.array(
    [
        *([0.08, 0.13, 0.03], [0.13, 0.17, 0.05], [0.2, 0.19, 0.07]),
        *([0.22, 0.16, 0.09], [0.14, 0.1, 0.06], [0.05, 0.09, 0.03]),
    ],
    np.float32,
)
_ROOFS = np.array([[0.25, 0.08, 0.05], [0.3, 0.15, 0.09], [0.12, 0.12, 0.13], [0.35, 0.33, 0.3]], np.float32)


def draw_aerial(random: Random, size: int) -> np.ndarray:
    """Draw one place: fields under everything, water at times, then a road with houses, and trees on top."""
    sun = random.uniform(0, 2 * np.pi)
    shadow = 0.012 * np.array([np.sin(sun), np.cos(sun)])
    image = _fields(random, size)
    if random.random() < 0.4:
        image = _river(random, image)
    roads = [_road(random) for _ in range(int(random.integers(1, 4)))]
    for course in roads:
        image = _pave(random, image, course)
    for course in roads:
        image = _houses(random, image, course, shadow)
    image = _trees(random, image, shadow)
    haze = random.uniform(0.0, 0.06)
    return ((1 - haze) * image * random.uniform(0.8, 1.4) + haze).astype(np.float32)


def _fields(random: Random, size: int) -> np.ndarray:
    """Cover the ground with the cells nearest to random points, each with a crop and the rows it was sown in."""
    y, x = grid(size)
    stretch, turn = random.uniform(1.0, 2.2), random.uniform(0, np.pi)
    u = x * np.cos(turn) + y * np.sin(turn) + 0.004 * clouds(random, size, 6)
    v = (y * np.cos(turn) - x * np.sin(turn)) * stretch
    points = random.uniform(-0.5, 1.6, (int(random.integers(8, 22)), 2)) * [1.0, stretch]
    distances = np.stack([np.maximum(np.abs(u - a), np.abs(v - b)) + 0.3 * np.hypot(u - a, v - b) for a, b in points])
    nearest = distances.argmin(0)
    first, second = np.sort(distances, 0)[:2]
    crops = _CROPS[random.integers(len(_CROPS), size=len(points))] * random.uniform(0.8, 1.25, (len(points), 3))
    rows, period = random.uniform(0, np.pi, len(points)), random.uniform(150.0, 420.0, len(points))
    along = x * np.cos(rows)[nearest] + y * np.sin(rows)[nearest]
    sown = 1.0 + 0.1 * random.random(len(points))[nearest] * np.sin(period[nearest] * along)
    ground = crops[nearest] * (sown * (1.0 + 0.14 * clouds(random, size, 4, 0.75)))[..., None]
    hedge = softly(0.006 - (second - first), 0.006) * (clouds(random, size, 12) > -0.6)
    return painted(ground, 0.8 * hedge, _CROPS[5] * 0.6)


def _river(random: Random, image: np.ndarray) -> np.ndarray:
    size = len(image)
    course, width = _road(random, bend=0.12), random.uniform(0.02, 0.07)
    away = _distance(course, size) + 0.006 * clouds(random, size, 8)
    water = random.uniform(0.6, 1.2) * np.array([0.03, 0.06, 0.07]) * (1.0 + 0.1 * clouds(random, size, 24))[..., None]
    bank = painted(image, softly(1.35 * width - away, 0.02), np.array([0.2, 0.18, 0.12]))
    return painted(bank, softly(width - away, 0.006), water)


def _road(random: Random, bend: float = 0.05) -> tuple[float, float, float, float, float]:
    """Return the course of a road: angle, place, and the height, number and phase of its bends."""
    return random.uniform(0, np.pi), random.uniform(-0.3, 0.3), bend * random.random(), *random.uniform([2, 0], [6, 6])


def _along(course: tuple[float, ...], y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place along a road and to its side."""
    angle, place, height, bends, phase = course
    along = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    side = (y - 0.5) * np.cos(angle) - (x - 0.5) * np.sin(angle) - place
    return along, side - height * np.sin(bends * along + phase)


def _distance(course: tuple[float, ...], size: int) -> np.ndarray:
    return np.abs(_along(course, *grid(size))[1])


def _pave(random: Random, image: np.ndarray, course: tuple[float, ...]) -> np.ndarray:
    """Draw a road with verges and, where it is wide, a dashed line in its middle."""
    size, width = len(image), random.uniform(0.008, 0.02)
    along, side = _along(course, *grid(size))
    asphalt = random.uniform(0.1, 0.22) * (1.0 + 0.08 * clouds(random, size, 24))[..., None] * np.ones(3)
    image = painted(image, softly(1.6 * width - np.abs(side), 0.01), np.array([0.2, 0.19, 0.12]))
    image = painted(image, softly(width - np.abs(side), 2.0 / size), asphalt)
    dashes = softly(0.002 - np.abs(side), 2.0 / size) * (np.sin(180.0 * along) > 0)
    return painted(image, (width > 0.013) * dashes, np.full(3, 0.6))


def _houses(random: Random, image: np.ndarray, course: tuple[float, ...], shadow: np.ndarray) -> np.ndarray:
    """Put houses along a road: a roof of two halves, one of them brighter, and its shadow."""
    y, x = grid(len(image))
    along, side = _along(course, y, x)
    moved_along, moved_side = _along(course, y - shadow[0], x - shadow[1])
    for place in np.arange(-0.8, 0.8, random.uniform(0.06, 0.16)):
        if random.random() < 0.45:
            continue
        centre = place + random.normal(0, 0.01), random.choice([-1, 1]) * random.uniform(0.04, 0.065)
        half = random.uniform([0.012, 0.01], [0.032, 0.02])
        roof = _ROOFS[random.integers(len(_ROOFS))] * random.uniform(0.7, 1.2)
        away = np.stack([np.abs(along - centre[0]) - half[0], np.abs(side - centre[1]) - half[1]])
        cast = np.stack([np.abs(moved_along - centre[0]) - half[0], np.abs(moved_side - centre[1]) - half[1]])
        image = image * (1.0 - 0.7 * softly(-cast.max(0), 0.006))[..., None]
        lit = np.where(side > centre[1], 1.25, 0.75)[..., None]
        image = painted(image, softly(-away.max(0), 1.5 / len(image)), roof * lit)
    return image


def _trees(random: Random, image: np.ndarray, shadow: np.ndarray) -> np.ndarray:
    """Put trees on the land: woods where a slow noise is high, and single ones; each a crown lit from one side."""
    size = len(image)
    woods, leaves = clouds(random, size, 3, 0.3), 1.0 + 0.2 * clouds(random, size, 48, 0.9)
    share = random.uniform(0.4, 1.4)
    for place in random.uniform(0, 1, (int(random.integers(150, 500)), 2)):
        row, column = (place * size).astype(int)
        if woods[row, column] < share and random.random() > 0.06:
            continue
        part = tuple(slice(max(0, at - size // 25), at + size // 25 + 1) for at in (row, column))
        y, x = (axis[part] - at for axis, at in zip(grid(size), place, strict=True))
        radius, green = random.uniform(0.008, 0.02), random.uniform(0.6, 1.3) * np.array([0.035, 0.065, 0.02])
        dark = 0.6 * softly(radius - np.hypot(y - shadow[0], x - shadow[1]), 0.006)
        lit = 1.0 - 0.5 * (y * shadow[0] + x * shadow[1]) / (radius * np.hypot(*shadow))
        crown = softly(radius * leaves[part] - np.hypot(y, x), 0.006)
        image[part] = painted(image[part] * (1.0 - dark)[..., None], crown, green * (lit * leaves[part])[..., None])
    return image
