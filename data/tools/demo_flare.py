"""The demo data set ``flare``: pictures with a bright lamp, as they are and as a lens with flare would take them."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from data.folds import ranked
from data.listing import images_in, relative_stem
from data.readers import read_image
from data.tools.demo_kinds import PHASES, DemoKind
from data.tools.flare import Light, draw_lights, flare, lamp
from data.tools.folders import existing_folder
from data.tools.linear_light import Random, encoded, to_linear
from data.tools.street import draw_street, put_post
from data.value_range import DTYPE_RANGES
from data.writers import write_image
from util.errors import UserError


@dataclass(frozen=True)
class Settings(DemoKind):
    """``photos`` is a folder of pictures to put flare over; without it scenes are drawn."""

    photos: str | None = None


def write_dataset(out: pathlib.Path, settings: Settings) -> None:
    """Write every pair below ``out``; UserError for photos that are too few, too small or unreadable."""
    photos = _share(settings) if settings.photos else {}

    def write(phase: str, number: int) -> None:
        random = settings.generator(phase, number)
        lights = draw_lights(random)
        scene = _scene(random, lights, settings.size, photos.get(phase, []), number)
        clean = scene + sum(lamp(light, settings.size) for light in lights)
        with_flare = clean + sum(flare(random, light, settings.size) for light in lights)
        write_image(out / phase / "target" / f"{number:04d}.png", encoded(clean))
        write_image(out / phase / "input" / f"{number:04d}.png", encoded(with_flare))

    settings.each(write)


def _scene(random: Random, lights: Sequence[Light], size: int, photos: Sequence[pathlib.Path], at: int) -> np.ndarray:
    """Return linear light (size, size, 3) of a part of a photo, or of a street with a post for each lamp."""
    if photos:
        return _part(random, photos[at % len(photos)], size)
    return functools.reduce(lambda image, light: put_post(image, light.y, light.x), lights, draw_street(random, size))


def _part(random: Random, path: pathlib.Path, size: int) -> np.ndarray:
    """Return a random square of a photo, reduced to the size, in linear light."""
    image = read_image(path)
    if min(image.shape[:2]) < size:
        raise UserError(f"{path}: {image.shape[1]}x{image.shape[0]} pixels are too few for --size {size}")
    side = int(random.integers(size, min(image.shape[:2]) + 1))
    top, left = (int(random.integers(0, whole - side + 1)) for whole in image.shape[:2])
    light = to_linear(image[top : top + side, left : left + side, :3] / DTYPE_RANGES[image.dtype.name][1])
    small = cv2.resize(light, (size, size), interpolation=cv2.INTER_AREA).reshape(size, size, -1)
    return np.repeat(small[..., :1], 3, 2) if small.shape[2] < 3 else small


def _share(settings: Settings) -> dict[str, list[pathlib.Path]]:
    """Return the photos of each phase: no photo is in two of them."""
    folder = existing_folder("--photos", settings.photos or "")
    files = {relative_stem(path, folder): path for path in images_in(folder, "photos to put flare over")}
    if len(files) < len(PHASES):
        raise UserError(f"--photos {folder}: {len(files)} photo(s); train, val and test need one each at least")
    names = ranked(files, settings.seed)
    val, test = max(1, len(names) // 12), max(1, len(names) // 6)
    parts = {"val": names[:val], "test": names[val : val + test], "train": names[val + test :]}
    return {phase: [files[name] for name in part] for phase, part in parts.items()}


def describe(settings: Settings) -> str:
    """Return the text of README.txt: files, seed and the command that makes the same again."""
    counts, photos = settings.counts(), f" --photos {settings.photos}" if settings.photos else ""
    scenes = "parts of your photos" if settings.photos else "drawn streets. Public domain (CC0)"
    return f"""Pictures with and without lens flare; the flare is computed, the scenes are {scenes}.

made by: python prepare.py demo --kind flare --count {settings.count} --size {settings.size} --seed {settings.seed}\
{photos} --out THIS_FOLDER

train/ val/ test/   {counts["train"]}, {counts["val"]} and {counts["test"]} pairs of {settings.size} x {settings.size} \
pixels, 8 bit sRGB
  target/NNNN.png   the scene and its lamps
  input/NNNN.png    the same with glare, halo, streaks and reflections, added in linear light and then clipped

train with: --dataroot THIS_FOLDER --dir_A input --dir_B target
What is drawn and why: data/tools/flare.py.
"""
