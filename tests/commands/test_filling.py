"""Holes filled from the command line: known pixels come back bit for bit, in 8 and 16 bit, in tiles and turned."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from commands.joined_runs import open_run
from commands.testing import TestingSession
from commands.translating import TranslatingSession
from data.readers import read_image
from data.writers import write_image
from options.test_options import TestOptions
from util.errors import UserError

RNG = np.random.default_rng(0)
NETWORK = ["--netG", "resnet_6blocks", "--norm", "instance", "--ngf", "2", "--no_dropout", "--netD", "basic"]
NETWORK += ["--ndf", "2"]
COMMON = ["--gpu_ids", "-1", "--num_threads", "0"]


def picture(height: int = 36, width: int = 45, channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)


def hole(height: int = 36, width: int = 45) -> np.ndarray:
    found = np.zeros((height, width, 1), np.uint8)
    found[10:20, 5:30] = 255
    return found


def trained(train: Callable[..., int], root: pathlib.Path, channels: int = 3, dtype: str = "uint8") -> pathlib.Path:
    """Train a run for one step; return the folder of its images."""
    for phase in ("train", "test"):
        for number in range(2):
            write_image(root / "photos" / phase / f"{number}.png", picture(channels=channels, dtype=dtype))
    words = ["--model", "inpaint", "--dataroot", root / "photos", "--checkpoints_dir", root, "--name", "filler"]
    words += [*NETWORK, *COMMON, "--input_nc", channels + 1, "--output_nc", channels, "--crop_size", 32]
    words += ["--max_steps", 1]
    assert train(*words, "--no_html", "--display_id", 0, "--precision", "fp32", "--val_freq", 0) == 0
    return root / "photos"


def words_of(root: pathlib.Path, *more: object) -> list[str]:
    where = ["--checkpoints_dir", root, "--results_dir", root / "results", "--name", "filler", *COMMON]
    return [str(word) for word in [*where, "--precision", "fp32", *more]]


def evaluate(root: pathlib.Path, *more: object) -> int:
    return TestingSession(TestOptions().parse(words_of(root, *more))).run()


def filled(root: pathlib.Path, source: pathlib.Path, target: pathlib.Path, *more: object) -> int:
    words = words_of(root, "--input", source, "--output", target, *more)
    return TranslatingSession(TestOptions().parse(words)).run()


@pytest.mark.parametrize(("channels", "dtype"), [(3, "uint8"), (1, "uint16")])
def test_known_pixels_come_back_whole_in_tiles_and_turned(
    train: Callable[..., int], tmp_path: pathlib.Path, channels: int, dtype: str
) -> None:
    photos = trained(train, tmp_path, channels, dtype)
    for more in ([], ["--tile_size", 16], ["--tta", "x8"]):
        assert evaluate(tmp_path, "--dataroot", photos, "--preprocess", "none", *more) == 0
        images = tmp_path / "results/filler/test_latest/images"
        for number in range(2):
            real, fake = read_image(photos / f"test/{number}.png"), read_image(images / f"{number}_fake_B.png")
            given = read_image(images / f"{number}_real_A.png")
            in_hole = (given != real).any(2)
            assert fake.dtype == real.dtype and fake.shape == real.shape and 0.001 < in_hole.mean() < 1
            assert np.array_equal(fake[~in_hole], real[~in_hole])
            assert not np.array_equal(fake[in_hole], given[in_hole]), "holes are filled"
    metrics = json.loads((tmp_path / "results/filler/test_latest/metrics.json").read_text())
    assert set(metrics["baselines"]) == {"telea", "navier stokes"}
    assert {"psnr", "hole_psnr", "hole_mae"} <= set(metrics["mean"])
    page = (tmp_path / "results/filler/test_latest/index.html").read_text()
    assert "PSNR in holes" in page and "telea" in page


def test_a_photo_and_its_mask(train: Callable[..., int], tmp_path: pathlib.Path) -> None:
    trained(train, tmp_path)
    image, at = picture(), hole()[..., 0] > 0
    write_image(tmp_path / "in/photo.png", image)
    write_image(tmp_path / "mask.png", hole())
    assert filled(tmp_path, tmp_path / "in/photo.png", tmp_path / "out.png", "--mask", tmp_path / "mask.png") == 0
    result = read_image(tmp_path / "out.png")
    assert np.array_equal(result[~at], image[~at]) and not np.array_equal(result[at], image[at])
    seen = image.copy()
    seen[at] = 7
    write_image(tmp_path / "in/photo.png", seen)
    write_image(tmp_path / "masks/photo.png", 255 - hole())
    more = ["--mask", tmp_path / "masks", "--invert_masks", "--tta", "x8"]
    assert filled(tmp_path, tmp_path / "in", tmp_path / "out", *more) == 0
    again = read_image(tmp_path / "out/photo.png")
    assert np.array_equal(again[~at], image[~at])
    assert filled(tmp_path, tmp_path / "in/photo.png", tmp_path / "out2.png", "--mask", tmp_path / "mask.png") == 0
    assert np.array_equal(read_image(tmp_path / "out2.png"), result), "what a hole held before leaves no trace"


def test_transparent_pixels_and_colours_are_holes(train: Callable[..., int], tmp_path: pathlib.Path) -> None:
    trained(train, tmp_path)
    image, at = picture().clip(1), hole()[..., 0] > 0
    write_image(tmp_path / "mask.png", hole())
    write_image(tmp_path / "plain.png", image)
    write_image(tmp_path / "clear.png", np.dstack([image, np.where(at, 0, 255).astype(np.uint8)]))
    write_image(tmp_path / "struck.png", np.where(at[..., None], 0, image).astype(np.uint8))
    cases = {"plain": ["--mask", tmp_path / "mask.png"], "clear": [], "struck": ["--hole_colour", "0,0,0"]}
    for name, more in cases.items():
        assert filled(tmp_path, tmp_path / f"{name}.png", tmp_path / f"{name}_out.png", *more) == 0
    results = [read_image(tmp_path / f"{name}_out.png") for name in cases]
    assert all(np.array_equal(result, results[0]) for result in results)


def test_16_bit_photos_through_an_8_bit_run_keep_their_depth(train: Callable[..., int], tmp_path: pathlib.Path) -> None:
    trained(train, tmp_path)
    image, at = picture(dtype="uint16"), hole()[..., 0] > 0
    write_image(tmp_path / "deep.png", image)
    write_image(tmp_path / "mask.png", hole())
    assert filled(tmp_path, tmp_path / "deep.png", tmp_path / "out.png", "--mask", tmp_path / "mask.png") == 0
    result = read_image(tmp_path / "out.png")
    assert result.dtype == np.uint16 and np.array_equal(result[~at], image[~at])


def test_from_python(train: Callable[..., int], tmp_path: pathlib.Path) -> None:
    from PIL import Image

    trained(train, tmp_path)
    fill = open_run(tmp_path / "filler", "latest", None, "-1")
    image, at = picture(), hole()[..., 0] > 0
    result = fill(image, at)
    assert np.array_equal(result[~at], image[~at])
    clear = Image.fromarray(np.dstack([image, np.where(at, 0, 255).astype(np.uint8)]))
    assert np.array_equal(np.asarray(fill(clear)), result)
    palette = Image.new("P", (45, 36), 1)
    palette.putpalette([200, 20, 20, 10, 120, 240])
    palette.paste(0, (10, 10, 30, 20))
    palette.info["transparency"] = 0
    palette.save(tmp_path / "palette.png")
    fill.file(tmp_path / "palette.png", tmp_path / "palette_out.png")
    assert np.array_equal(np.asarray(fill(palette)), read_image(tmp_path / "palette_out.png"))
    with pytest.raises(UserError, match="where is the hole.*--mask"):
        fill(image)
    with pytest.raises(UserError, match="mask has 9x9 pixels and the image 45x36"):
        fill(image, at[:9, :9])


def test_what_does_not_go_together(
    train: Callable[..., int], tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(train, tmp_path)

    def parse(*more: object) -> Any:
        return TestOptions().parse(words_of(tmp_path, *more))

    with pytest.raises(UserError, match="--model test: .*fills holes"):
        parse("--dataroot", ".", "--model", "test")
    with pytest.raises(UserError, match="--mask m.png: only with --input"):
        parse("--dataroot", ".", "--mask", "m.png")
    write_image(tmp_path / "photo.png", picture())
    with pytest.raises(UserError, match="none.png: no such file"):
        filled(tmp_path, tmp_path / "photo.png", tmp_path / "out.png", "--mask", tmp_path / "none.png")
    write_image(tmp_path / "masks/other.png", hole())
    assert filled(tmp_path, tmp_path / "photo.png", tmp_path / "out.png", "--mask", tmp_path / "masks") == 1
    assert "no mask 'photo' in --mask" in capsys.readouterr().err
