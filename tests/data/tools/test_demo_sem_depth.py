"""The simulated data: reproducible, plausible, in the documented layout and units."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from data.readers import read_image
from data.tools.demo_sem_depth import DEPTH_UNITS_PER_NM, Settings, describe, write_dataset
from data.tools.sem_imaging import Microscope, draw_drift, drifted, record, signal, visible_sky
from data.tools.sem_shapes import LEVELS_NM, ShapeStatistics, Surface, blur, draw_surface

SMALL = Settings(count=6, size=48)


def hole(depth: float, size: int = 48, radius: float = 8.0, wall: float = 3.0) -> np.ndarray:
    """A round hole in the middle, (size, size) nm below the top plane."""
    rows, columns = np.mgrid[0:size, 0:size] - (size - 1) / 2
    return LEVELS_NM[0] + depth * np.clip(0.5 + (radius - np.hypot(rows, columns)) / wall, 0, 1)


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def test_layout_numbers_and_types(tmp_path):
    write_dataset(tmp_path, SMALL)
    names = contents(tmp_path)
    assert sum(n.startswith("train/depth/") for n in names) == 6
    assert sum(n.startswith("train/sem/") for n in names) == 12
    assert sum(n.startswith("train/real_sem/") for n in names) == 6
    assert {n.split("/")[1] for n in names if n.startswith("test/")} == {"sem", "depth", "real_sem", "real_depth"}
    assert {n.split("/")[1] for n in names if n.startswith("val/")} == {"sem", "depth", "real_sem"}
    assert "train/sem/0005_itr1.png" in names and "test/real_depth/r0000.png" in names
    depth, sem = read_image(tmp_path / "train/depth/0000.png"), read_image(tmp_path / "train/sem/0000_itr0.png")
    assert depth.shape == sem.shape == (48, 48, 1)
    assert (depth.dtype, sem.dtype) == (np.uint16, np.uint8)


def test_depth_is_in_the_documented_units(tmp_path):
    write_dataset(tmp_path, SMALL)
    for path in (tmp_path / "train/depth").iterdir():
        nanometres = read_image(path) / DEPTH_UNITS_PER_NM
        assert LEVELS_NM[0] - 5 < nanometres.min() and nanometres.max() < LEVELS_NM[-1] + 270
        assert np.abs(np.subtract.outer(np.array(LEVELS_NM), nanometres.min())).min() < 6


def test_the_seed_decides_everything(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_dataset(tmp_path / name, Settings(count=3, size=32, seed=seed))
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys() and all(a[name] != c[name] for name in a)
    assert len(set(a.values())) == len(a)


def test_an_image_does_not_depend_on_how_many_there_are(tmp_path):
    write_dataset(tmp_path / "a", Settings(count=2, size=32))
    write_dataset(tmp_path / "b", Settings(count=5, size=32, iterations=1))
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert all(a[name] == b[name] for name in a.keys() & b.keys())


def test_sixteen_bit_images_use_their_depth(tmp_path):
    write_dataset(tmp_path, Settings(count=1, size=48, bit_depth=16))
    image = read_image(tmp_path / "train/sem/0000_itr0.png")
    assert image.dtype == np.uint16 and image.max() > 20_000
    assert (image % 257 != 0).mean() > 0.5


def test_rims_are_bright_and_bottoms_dark():
    depth = hole(150.0)
    image = signal(Surface(depth, 0), Microscope(side=0.0))
    radius = np.hypot(*(np.mgrid[0:48, 0:48] - 23.5))
    flat, rim, bottom = image[radius > 15].mean(), image[np.abs(radius - 9.5) < 1].mean(), image[radius < 3].mean()
    assert rim > 1.4 * flat
    assert bottom < 0.6 * flat
    deeper = signal(Surface(hole(220.0), 0), Microscope(side=0.0))
    assert deeper[radius < 3].mean() < 0.9 * bottom


def test_a_flat_surface_is_flat_and_unshadowed():
    flat = np.full((32, 32), LEVELS_NM[0])
    assert np.allclose(visible_sky(flat), 1.0)
    assert np.allclose(signal(Surface(flat, 0), Microscope()), 1.0)
    assert signal(Surface(flat, 3), Microscope()).mean() < 0.85


def test_the_detector_side_brightens_slopes_that_face_it():
    image = signal(Surface(hole(60.0), 0), Microscope(side=0.4))
    assert abs(image[24, 12:18].max() - image[24, 30:36].max()) > 0.2


def test_noise_is_poisson_of_the_dose():
    clean = np.ones((256, 64))
    scan = record(np.random.default_rng(0), clean, Microscope(dose=(50.0, 50.0), offset=(0, 0), gain=(1, 1)))
    relative = scan.std() / scan.mean()
    assert relative == pytest.approx(np.hypot(1 / np.sqrt(50), 0.01), rel=0.05)


def test_drift_moves_image_and_depth_alike():
    image = np.tile(np.arange(32.0), (8, 1))
    shift = draw_drift(np.random.default_rng(1), 8, 2.0)
    assert np.abs(shift).max() > 0.1
    inner = drifted(image, shift)[:, 10:20]
    assert np.allclose(inner, image[:, 10:20] + shift[:, None])
    assert np.array_equal(drifted(image, np.zeros(8)), image)


def test_blur_keeps_the_mean_and_spreads():
    image = np.zeros((21, 21))
    image[10, 10] = 1.0
    blurred = blur(image, 1.5, 0.5)
    assert blurred.sum() == pytest.approx(1.0)
    assert blurred[10, 12] > blurred[12, 10] > 0


@pytest.mark.parametrize("line_share", [0.0, 1.0])
def test_surfaces_have_background_and_structures(line_share):
    levels = set()
    for seed in range(12):
        surface = draw_surface(np.random.default_rng(seed), 48, ShapeStatistics(line_share=line_share))
        levels.add(surface.level)
        background = np.abs(surface.depth - LEVELS_NM[surface.level]) < 4
        assert surface.depth.shape == (48, 48)
        assert 0.1 < background.mean() <= 1.0
    assert levels == {0, 1, 2, 3}


def test_the_real_domain_differs_in_more_than_noise(tmp_path):
    write_dataset(tmp_path, Settings(count=12, size=48))
    simulated, real = (
        np.stack([blur(read_image(p)[..., 0] / 255.0, 2.0) for p in sorted((tmp_path / "train" / name).iterdir())])
        for name in ("sem", "real_sem")
    )
    assert real.mean() > simulated.mean() * 1.05  # the contrast curve survives any averaging of noise


def test_the_readme_names_the_command():
    text = describe(Settings(count=7, size=40, seed=3))
    assert "--count 7 --size 40 --iterations 2 --bit_depth 8 --seed 3" in text
    assert "nanometres x 100" in text
