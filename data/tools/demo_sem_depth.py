"""The demo data set ``sem_depth``: simulated SEM images with their depth maps, and an unpaired "real" domain."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

import numpy as np

from data.tools.demo_kinds import DemoKind
from data.tools.sem_imaging import Microscope, draw_drift, drifted, record, signal
from data.tools.sem_shapes import LEVELS_NM, NM_PER_PIXEL, ShapeStatistics, draw_surface
from data.value_range import as_dtype
from data.writers import write_image

DEPTH_UNITS_PER_NM = 100.0

SIMULATED = (ShapeStatistics(), Microscope())
REAL = (
    ShapeStatistics(
        radius=(6.0, 15.0),
        jitter=0.2,
        etch_nm=(70.0, 200.0),
        wall=(2.0, 5.5),
        ellipse=(0.75, 1.0),
        level_odds=(0.1, 0.4, 0.3, 0.2),
        line_share=0.2,
    ),
    Microscope(
        dose=(25.0, 60.0), gamma=0.75, blur=1.1, astigmatism=1.5, side=0.35, charging=(0.06, 0.15), drift=2.5,
        contamination=0.35,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Settings(DemoKind):
    """``iterations`` scans of each surface, stored with ``bit_depth`` bits; real ones in folders ``by_level``."""

    size: int = 128
    iterations: int = 2
    bit_depth: int = 8
    by_level: bool = False


def write_dataset(out: pathlib.Path, settings: Settings) -> None:
    """Write every image below ``out``; each depends on the seed, its phase and its number alone."""

    def write(phase: str, number: int) -> None:
        _write_simulated(out / phase, number, settings, phase)
        _write_real(out / phase, number, settings, phase)

    settings.each(write)


def _write_simulated(folder: pathlib.Path, number: int, settings: Settings, phase: str) -> None:
    statistics, microscope = SIMULATED
    rng = settings.generator(phase, number, 0)
    surface = draw_surface(rng, settings.size, statistics)
    clean = signal(surface, microscope)
    _write_depth(folder / "depth" / f"{number:04d}.png", surface.depth)
    for iteration in range(settings.iterations):
        scan = record(settings.generator(phase, number, 1, iteration), clean, microscope)
        _write_sem(folder / "sem" / f"{number:04d}_itr{iteration}.png", scan, settings.bit_depth)


def _write_real(folder: pathlib.Path, number: int, settings: Settings, phase: str) -> None:
    statistics, microscope = REAL
    rng = settings.generator(phase, number, 2)
    surface = draw_surface(rng, settings.size, statistics)
    shift = draw_drift(rng, settings.size, microscope.drift)
    scan = record(rng, drifted(signal(surface, microscope), shift), microscope)
    level = f"level_{LEVELS_NM[surface.level] * DEPTH_UNITS_PER_NM:05.0f}"
    name = f"{level}/r{number:04d}.png" if settings.by_level and phase != "test" else f"r{number:04d}.png"
    _write_sem(folder / "real_sem" / name, scan, settings.bit_depth)
    if phase == "test":  # the truth, to measure what the shift of domain costs; never for training
        _write_depth(folder / "real_depth" / name, drifted(surface.depth, shift))


def _write_depth(path: pathlib.Path, depth: np.ndarray) -> None:
    write_image(path, as_dtype(depth * DEPTH_UNITS_PER_NM, "uint16"))


def _write_sem(path: pathlib.Path, scan: np.ndarray, bit_depth: int) -> None:
    write_image(path, as_dtype(scan * (2**bit_depth - 1), f"uint{bit_depth}"))


_BY_LEVEL = """; in train/ and val/ in folders by the level of the
                         background, in units of the depth files"""


def describe(settings: Settings) -> str:
    """Return the text of README.txt: files, units, seed and the command that makes the same again."""
    counts, levels = settings.counts(), ", ".join(f"{level:.0f}" for level in LEVELS_NM)
    return f"""Simulated SEM images and depth maps. All computed, nothing measured. Public domain (CC0).

made by: python prepare.py demo --kind sem_depth --count {settings.count} --size {settings.size} --iterations \
{settings.iterations} --bit_depth {settings.bit_depth} --seed {settings.seed}\
{" --by_level" * settings.by_level} --out THIS_FOLDER

train/ val/ test/   {counts["train"]}, {counts["val"]} and {counts["test"]} surfaces of {settings.size} x \
{settings.size} pixels; 1 pixel is {NM_PER_PIXEL:g} nm wide
  depth/NNNN.png         depth below the top plane, 16 bit, 1 channel: value = nanometres x {DEPTH_UNITS_PER_NM:g}
  sem/NNNN_itrK.png      its SEM image, {settings.bit_depth} bit, 1 channel; K = 0..{settings.iterations - 1} are \
separate noisy scans of one surface
  real_sem/rNNNN.png     unpaired "real" images: other structures, contrast curve, blur, detector side, drift,
                         contamination, charging and dose{_BY_LEVEL * settings.by_level}
  real_depth/rNNNN.png   (test/ only) their true depth, for measuring what the change of domain costs

The background of each surface lies at one of {levels} nm; holes and trenches are etched 50 to 230 nm deeper.
Formulas and their sources: data/tools/sem_imaging.py.
"""
