"""Scenes to put flare over: streets at dusk and at night, in linear light (size, size, 3)."""

from __future__ import annotations

import numpy as np

from data.tools.linear_light import Random, clouds, grid, painted, softly


def draw_street(random: Random, size: int) -> np.ndarray:
    """Draw a sky, two rows of houses with lit windows, and a wet road that mirrors them dimly."""
    night = random.uniform(0.0, 1.0)
    horizon = random.uniform(0.55, 0.75)
    image = _sky(random, size, night)
    for depth in (0.45, 1.0):
        image = _houses(random, image, horizon, depth, night)
    return _road(random, image, horizon, night).astype(np.float32)


def _sky(random: Random, size: int, night: float) -> np.ndarray:
    y, _ = grid(size)
    top = np.array([0.04, 0.08, 0.2]) * (1.1 - night) + 0.004
    low = np.array([0.5, 0.3, 0.22]) * (1.05 - night) + np.array([0.02, 0.018, 0.03])
    cover = np.clip(0.3 * clouds(random, size, 3), 0, 1)
    sky = top + (low - top) * np.clip(y / 0.7, 0, 1)[..., None] ** 2
    return painted(sky, 0.5 * cover, 1.5 * low)


def _houses(random: Random, image: np.ndarray, horizon: float, depth: float, night: float) -> np.ndarray:
    """Draw houses side by side; ``depth`` 1 is the nearest row."""
    size, left = len(image), -0.1
    y, x = grid(size)
    texture = 1.0 + 0.12 * clouds(random, size, 16)
    while left < 1.0:
        width, height = depth * random.uniform(0.12, 0.35), depth * random.uniform(0.15, 0.5)
        inside = np.minimum(np.minimum(x - left, left + width - x), y - (horizon - height))
        paint = random.uniform(0.04, 0.2) * random.uniform(0.7, 1.15, 3)
        wall = paint * (1.05 - 0.9 * night) * (1.3 - 0.5 * depth) + 0.004
        image = painted(image, softly(inside, 1.0 / size), wall * texture[..., None])
        box = (horizon - height, left, horizon, left + width)
        image = _windows(random, image, box, depth, night)
        left += width * random.uniform(0.9, 1.3)
    return image


def _windows(
    random: Random, image: np.ndarray, box: tuple[float, float, float, float], depth: float, night: float
) -> np.ndarray:
    """Draw a grid of windows into a box (top, left, bottom, right), some of them lit."""
    y, x = grid(len(image))
    pitch = depth * random.uniform(0.035, 0.06)
    row, column = (y - box[0]) / pitch, (x - box[1]) / pitch
    rows, columns = (max(1, int((end - start) / pitch)) for start, end in ((box[0], box[2]), (box[1], box[3])))
    lit = random.random((rows, columns)) < 0.2 + 0.4 * night
    colours = np.array([1.0, 0.75, 0.4]) * random.uniform(0.15, 0.7, (rows, columns, 1))
    dark = np.array([0.02, 0.025, 0.035]) * (1.2 - night)
    panes = np.where(lit[..., None], colours, dark)
    frame = np.minimum(0.28 - np.abs(row % 1 - 0.5), 0.25 - np.abs(column % 1 - 0.5)) * pitch
    known = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    places = np.clip(row, 0, rows - 1).astype(int), np.clip(column, 0, columns - 1).astype(int)
    return painted(image, softly(frame, 1.0 / len(image)) * known, panes[places])


def _road(random: Random, image: np.ndarray, horizon: float, night: float) -> np.ndarray:
    """Cover what is below the horizon with a road, its marks, and a dim mirror image of what is above."""
    size = len(image)
    y, x = grid(size)
    below = np.clip((y - horizon) / (1.0 - horizon), 1e-3, 1.0)
    asphalt = (0.02 + 0.08 * (1.0 - night)) * (1.0 + 0.08 * clouds(random, size, 32, 0.9))
    mirrored = image[np.clip(((2 * horizon - y[:, 0]) * size).astype(int), 0, size - 1)]
    wet = random.uniform(0.0, 0.35)
    road = asphalt[..., None] * np.array([1.0, 0.98, 0.95]) + wet * mirrored
    across = (x - random.uniform(0.35, 0.65)) / (0.05 + 0.5 * below)
    dashes = softly(0.03 - np.abs(across), 0.01) * (np.sin(14.0 / (0.2 + below)) > 0)
    road = painted(road, 0.7 * dashes, np.full(3, 0.25 * (1.2 - night)))
    return painted(image, softly(y - horizon, 1.5 / size), road)


def put_post(image: np.ndarray, y: float, x: float) -> np.ndarray:
    """Return the scene with the post of a lamp at a place, down to the lower border."""
    rows, columns = grid(len(image))
    inside = np.minimum(0.004 - np.abs(columns - x), rows - y)
    return painted(image, softly(inside, 1.5 / len(image)), np.full(3, 0.01))
