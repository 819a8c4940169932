"""The demo data set ``aerial``: drawn pictures as from a plane, to be damaged and mended."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

from data.tools.aerial import draw_aerial
from data.tools.demo_kinds import DemoKind
from data.tools.linear_light import encoded
from data.writers import write_image


@dataclass(frozen=True)
class Settings(DemoKind):
    """Nothing beyond what all kinds have."""


def write_dataset(out: pathlib.Path, settings: Settings) -> None:
    """Write every picture below ``out``."""

    def write(phase: str, number: int) -> None:
        image = draw_aerial(settings.generator(phase, number), settings.size)
        write_image(out / phase / f"{number:04d}.png", encoded(image))

    settings.each(write)


def describe(settings: Settings) -> str:
    """Return the text of README.txt: files, seed and the command that makes the same again."""
    counts = settings.counts()
    return f"""Drawn pictures as seen from a plane: fields, woods, rivers, roads and houses. Public domain (CC0).

made by: python prepare.py demo --kind aerial --count {settings.count} --size {settings.size} --seed {settings.seed} \
--out THIS_FOLDER

train/ val/ test/   {counts["train"]}, {counts["val"]} and {counts["test"]} pictures of {settings.size} x \
{settings.size} pixels, 8 bit sRGB

What is drawn: data/tools/aerial.py.
"""
