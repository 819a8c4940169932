"""The drawn flare: what is added is light, what is not lit stays, and every part does what its physics says."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from data.readers import read_image
from data.tools import demo_aerial, demo_flare
from data.tools.flare import Light, draw_lights, flare, glare, halo, lamp, streaks
from data.tools.linear_light import clouds, encoded, to_linear, to_srgb
from data.writers import write_image
from util.errors import UserError

LIGHT = Light(0.5, 0.5, np.ones(3, np.float32), 0.02, 20.0)


def around(size: int = 65) -> tuple[np.ndarray, np.ndarray]:
    places = (np.arange(size) + 0.5) / size - 0.5
    dy, dx = np.meshgrid(places, places, indexing="ij")
    return dy, dx


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def test_the_curve_is_that_of_srgb_and_is_inverted() -> None:
    assert float(to_srgb(np.float32(0.2140411))) == pytest.approx(0.5, abs=1e-4)  # the middle grey of the standard
    values = np.linspace(0, 1, 256)
    np.testing.assert_allclose(to_srgb(to_linear(values)), values, atol=1e-5)
    assert encoded(np.array([-1.0, 0.0, 1.0, 9.0])).tolist() == [0, 0, 255, 255]


def test_clouds_have_mean_0_deviation_1_and_are_smooth() -> None:
    noise = clouds(np.random.default_rng(0), 64)
    assert abs(noise.mean()) < 1e-5 and noise.std() == pytest.approx(1.0, abs=1e-4)
    assert np.abs(np.diff(noise)).mean() < 0.5 * np.abs(noise[:, 8:] - noise[:, :-8]).mean()


def test_every_part_adds_light_and_none_takes_any() -> None:
    for seed in range(12):
        random = np.random.default_rng(seed)
        for light in draw_lights(random):
            added = flare(random, light, 32)
            assert added.shape == (32, 32, 3) and np.isfinite(added).all() and added.min() >= 0 and added.max() > 0


def test_glare_falls_with_the_distance_in_every_direction() -> None:
    dy, dx = around()
    image = glare(np.random.default_rng(1), dy, dx)[..., 0]
    assert (np.diff(image[32, 32:]) < 0).all()
    np.testing.assert_allclose(image, image.T, rtol=1e-6)
    np.testing.assert_allclose(image, image[::-1, ::-1], rtol=1e-6)


def test_streaks_are_rays_through_the_source() -> None:
    dy, dx = around(129)
    image = streaks(np.random.default_rng(3), dy, dx).sum(2)
    np.testing.assert_allclose(image, image[::-1, ::-1], rtol=1e-4)  # each goes to both sides
    ring = image[np.abs(np.hypot(dy, dx) - 0.2) < 0.006]
    assert ring.max() > 4 * np.median(ring)


def test_the_ring_of_long_wavelengths_is_the_widest() -> None:
    dy, dx = around(129)
    row = halo(np.random.default_rng(0), dy, dx)[64, 64:]
    red, green, blue = row.argmax(0)
    assert red > green > blue


def test_the_lamp_is_saturated_and_small() -> None:
    image = lamp(LIGHT, 128)
    assert image.max() == pytest.approx(20.0)
    assert 0.5 < (image[..., 0] > 10).sum() / (np.pi * (0.02 * 128) ** 2) < 2


def test_pairs_differ_by_light_alone(tmp_path: pathlib.Path) -> None:
    settings = demo_flare.Settings(count=3, size=48)
    demo_flare.write_dataset(tmp_path / "a", settings)
    demo_flare.write_dataset(tmp_path / "b", settings)
    names = contents(tmp_path / "a")
    assert names == contents(tmp_path / "b") and len(names) == 2 * 5
    for path in (tmp_path / "a").rglob("target/*.png"):
        clean, spoiled = (read_image(p).astype(int) for p in (path, path.parents[1] / "input" / path.name))
        assert clean.shape == (48, 48, 3)
        assert (spoiled >= clean).all() and (spoiled - clean).mean() > 1
        assert clean.std() > 8, "there is nothing to see"


def test_flare_over_photos_of_which_none_is_in_two_phases(tmp_path: pathlib.Path) -> None:
    for number in range(6):
        write_image(tmp_path / f"in/{number}.png", np.full((40, 60), 30 * number + 20, np.uint8))
    demo_flare.write_dataset(tmp_path / "out", demo_flare.Settings(count=6, size=32, photos=str(tmp_path / "in")))
    shades = {
        phase: {int(np.median(read_image(path))) for path in (tmp_path / "out" / phase / "target").iterdir()}
        for phase in ("train", "val", "test")
    }
    assert len(shades["train"]) == 4 and not shades["train"] & (shades["val"] | shades["test"])
    assert set.union(*shades.values()) == {30 * number + 20 for number in range(6)}


@pytest.mark.parametrize(("size", "count", "message"), [(64, 6, "too few for --size 64"), (32, 2, "need one each")])
def test_photos_that_do_not_do(tmp_path: pathlib.Path, size: int, count: int, message: str) -> None:
    for number in range(count):
        write_image(tmp_path / f"in/{number}.png", np.zeros((40, 60), np.uint8))
    with pytest.raises(UserError, match=message):
        demo_flare.write_dataset(tmp_path / "out", demo_flare.Settings(1, size, photos=str(tmp_path / "in")))


def test_aerial_pictures_repeat_and_have_something_in_them(tmp_path: pathlib.Path) -> None:
    settings = demo_aerial.Settings(count=4, size=64, seed=2)
    for name in "ab":
        demo_aerial.write_dataset(tmp_path / name, settings)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    pictures = [read_image(path) for path in (tmp_path / "a/train").iterdir()]
    assert len({picture.tobytes() for picture in pictures}) == 4
    assert all(picture.shape == (64, 64, 3) and picture.std() > 8 for picture in pictures)


@pytest.mark.parametrize("kind", [demo_flare, demo_aerial])
def test_the_readme_names_the_command(kind: object) -> None:
    describe: Callable[..., str] = kind.describe  # type: ignore[attr-defined]
    assert "--count 7 --size 40 --seed 3" in describe(kind.Settings(7, 40, 3))  # type: ignore[attr-defined]
