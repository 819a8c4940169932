"""Flare of bright lights in a lens, in linear light: glare, halo, streaks and reflections.

What is drawn, and why it is there:

- glare: dust and scratches scatter light by small angles, less with the distance by a power;
- streaks: the edges of the aperture diffract light across them, so n blades give n rays (2n where n is odd), and a
  smear on the lens gives one long one; their widths and lengths vary because no aperture is regular;
- halo: a ring of one angle around the source, whose radius depends on the wavelength, so that it shows colours;
- reflections: light that surfaces of the lens mirror twice makes images of the aperture on the line through the source
  and the middle of the picture, each with its own size, tint of the coating, and sharpness.

The parts and their order follow what Hullin et al. 2011 ("Physically-based real-time lens flare rendering", ACM
Transactions on Graphics 30) and Wu et al. 2021 (arXiv:2011.12485) describe. Sizes and strengths are plausible, not
measured. Places go from 0 to 1 over the picture; light 1 is the white of the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.tools.linear_light import Random, grid, softly

_WAVELENGTHS = np.array([1.06, 1.0, 0.92], np.float32)  # of red, green and blue, relative to green


@dataclass(frozen=True)
class Light:
    """A lamp: its place (y, x), colour (3,), radius, and how many times brighter than white it is."""

    y: float
    x: float
    colour: np.ndarray
    radius: float
    power: float


def draw_lights(random: Random) -> list[Light]:
    """Return one lamp, at times two or three, mostly in the picture and sometimes just beside it."""
    return [_draw_light(random) for _ in range(random.choice([1, 2, 3], p=[0.65, 0.25, 0.1]))]


def _draw_light(random: Random) -> Light:
    y, x = random.uniform(0.08, 0.8), random.uniform(0.08, 0.92)
    if random.random() < 0.15:
        y, x = (-random.uniform(0.02, 0.1), x) if random.random() < 0.5 else (y, random.choice([-0.06, 1.06]))
    warmth = random.uniform(-0.35, 0.6)  # from bluish to sodium yellow
    colour = np.array([1.0, 1.0 - 0.4 * max(warmth, 0), 1.0 - 0.75 * max(warmth, 0)], np.float32)
    colour[0] -= max(-warmth, 0)
    return Light(y, x, colour, random.uniform(0.008, 0.022), random.uniform(8.0, 40.0))


def lamp(light: Light, size: int) -> np.ndarray:
    """Return the lamp itself (size, size, 3): a saturated disc with a soft edge."""
    y, x = grid(size)
    inside = light.radius - np.hypot(y - light.y, x - light.x)
    return softly(inside, 2.5 / size)[..., None] * light.colour * light.power


def flare(random: Random, light: Light, size: int) -> np.ndarray:
    """Return what the lens adds (size, size, 3) because of one lamp."""
    y, x = grid(size)
    dy, dx = y - light.y, x - light.x
    strength = light.power / 25.0
    added = glare(random, dy, dx) + streaks(random, dy, dx)
    if random.random() < 0.35:
        added = added + halo(random, dy, dx)
    total = added * light.colour
    if random.random() < 0.75:
        total = total + reflections(random, light, size)
    return (strength * total).astype(np.float32)


def glare(random: Random, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """Return scattered light around the source (H,W,1), and a veil over the whole picture."""
    r2 = dy**2 + dx**2
    near, wide = random.uniform(0.012, 0.03), random.uniform(0.08, 0.3)
    core = random.uniform(1.0, 2.5) / (1.0 + r2 / near**2) ** random.uniform(0.9, 1.3)
    haze = random.uniform(0.05, 0.4) * np.exp(-np.sqrt(r2) / wide)
    return (core + haze + random.uniform(0.0, 0.02))[..., None]


def streaks(random: Random, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """Return the rays of the aperture's edges, and at times the long one of a smear (H,W,3)."""
    blades = int(random.integers(4, 9))
    turn, total = random.uniform(0, np.pi), np.zeros((*dy.shape, 3), np.float32)
    length, rays = random.uniform(0.08, 0.3), blades if blades % 2 else blades // 2
    for ray in range(rays):
        own = length * random.uniform(0.6, 1.4)
        total += _ray(random, dy, dx, turn + np.pi * ray / rays, own, 1.0)
    total *= random.uniform(0.1, 1.0)
    if random.random() < 0.5:
        total += _ray(random, dy, dx, random.uniform(0, np.pi), random.uniform(0.25, 0.6), random.uniform(2.0, 4.0))
    return random.uniform(0.15, 0.6) * total


def _ray(random: Random, dy: np.ndarray, dx: np.ndarray, angle: float, length: float, width: float) -> np.ndarray:
    """Return one bright line through the source; longer wavelengths reach further."""
    along = np.abs(dx * np.cos(angle) + dy * np.sin(angle))[..., None] / _WAVELENGTHS
    across = (dy * np.cos(angle) - dx * np.sin(angle))[..., None]
    spread = width * random.uniform(0.002, 0.005) * (1.0 + 4.0 * along)
    return np.exp(-along / length) / (1.0 + (across / spread) ** 2)


def halo(random: Random, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """Return a ring around the source whose colours lie side by side, brighter on one side (H,W,3)."""
    radius, width = random.uniform(0.12, 0.35), random.uniform(0.008, 0.02)
    r, phi = np.hypot(dy, dx)[..., None], np.arctan2(dy, dx)[..., None]
    ring = np.exp(-(((r - radius * _WAVELENGTHS) / width) ** 2))
    return random.uniform(0.03, 0.12) * ring * (0.75 + 0.25 * np.cos(phi - random.uniform(0, 2 * np.pi)))


def reflections(random: Random, light: Light, size: int) -> np.ndarray:
    """Return images of the aperture on the line through the source and the middle (H,W,3)."""
    blades, turn = int(random.integers(5, 9)), random.uniform(0, np.pi)
    total = np.zeros((size, size, 3), np.float32)
    for place in random.uniform(-1.6, 0.8, int(random.integers(3, 9))):
        radius = random.uniform(0.008, 0.07) * (1.0 + 0.6 * abs(place))
        centre = 0.5 + place * (light.y - 0.5), 0.5 + place * (light.x - 0.5)
        tint = np.clip(random.normal(0.5, 0.3, 3), 0.05, 1.0) * light.colour
        total += random.uniform(0.02, 0.11) * _aperture(random, size, centre, radius, blades, turn) * tint
    return total


def _aperture(
    random: Random, size: int, centre: tuple[float, float], radius: float, blades: int, turn: float
) -> np.ndarray:
    """Return a polygon with rounded corners, its rim brighter than its middle, with coloured edges (H,W,3)."""
    y, x = grid(size)
    dy, dx = y - centre[0], x - centre[1]
    sector = (np.arctan2(dy, dx) - turn) % (2 * np.pi / blades) - np.pi / blades
    r = np.hypot(dy, dx)[..., None] * (1.0 - 0.7 * (1.0 - np.cos(sector)))[..., None]
    reach = radius * _WAVELENGTHS
    rim = random.uniform(0.0, 0.6)
    profile = 1.0 - rim + rim * np.clip(r / reach, 0.0, 1.0) ** 4
    return softly(reach - r, random.uniform(1.5, 6.0) / size) * profile
