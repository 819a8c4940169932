from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import torch

from data.bicubic import shrink
from data.colour import file_luma
from data.common import CommonDataOptions, LoaderOptions
from data.loader import EpochLoader
from data.readers import read_image
from data.super_resolution_dataset import SuperResolution, SuperResolutionOptions, turned
from data.transfer import as_floats
from data.writers import write_image
from util.errors import UserError


def _image(height: int, width: int, channels: int = 3, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((height, width, channels))
    return (noise * {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]).astype(dtype)


def _open(root: pathlib.Path, scale: int, *, train: bool = True, degradation: str = "bicubic", **flags: Any) -> Any:
    patches = flags.pop("patches_per_image", 1)
    common = {"preprocess": "crop", "crop_size": 8 * scale, "cache": "off", "phase": "train" if train else "test"}
    options = SuperResolutionOptions(scale=scale, degradation=degradation, patches_per_image=patches)
    return SuperResolution(options, CommonDataOptions(dataroot=str(root), **(common | flags)), train=train)


def _load(dataset: Any, index: int = 0, seed: int = 0) -> dict[str, Any]:
    return dataset.load_stored(index, torch.Generator().manual_seed(seed))


@pytest.fixture
def photos(tmp_path: pathlib.Path) -> pathlib.Path:
    for phase in ("train", "test"):
        for number in range(3):
            write_image(tmp_path / phase / f"{number}.png", _image(41 + number, 50, seed=number))
    return tmp_path


def _find(small: np.ndarray, patch: np.ndarray) -> list[tuple[int, int, int]]:
    """Return every (turn, top, left) at which the patch lies in an image, both (C,h,w)."""
    found = []
    for turn in range(8):
        image = turned(small.transpose(1, 2, 0), turn).transpose(2, 0, 1)
        windows = np.lib.stride_tricks.sliding_window_view(image, patch.shape)[0]
        found += [(turn, *at) for at in np.argwhere((windows == patch).all((2, 3, 4))).tolist()]
    return found


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("cache", ["off", "on"])
def test_a_patch_is_cut_from_the_shrunken_image(
    photos: pathlib.Path, scale: int, cache: str, tmp_path: pathlib.Path
) -> None:
    kept = "off" if cache == "off" else str(tmp_path / "kept")
    dataset = _open(photos, scale, crop_size=4 * scale, cache=kept)
    for index in range(3):
        image = read_image(photos / "train" / f"{index}.png")
        image = image[: len(image) // scale * scale, : 50 // scale * scale]
        whole = shrink(image, scale).transpose(2, 0, 1), image.transpose(2, 0, 1)
        for seed in range(8):
            sample = _load(dataset, index, seed)
            places = [_find(of, sample[side].numpy()) for of, side in zip(whole, "AB", strict=True)]
            (turn, top, left), (same_turn, tall, wide) = places[0][0], places[1][0]
            assert len(places[0]) == len(places[1]) == 1 and turn == same_turn
            assert (tall, wide) == (scale * top, scale * left)


def test_all_places_and_turns_occur_unless_told_otherwise(photos: pathlib.Path) -> None:
    image = read_image(photos / "train/0.png").transpose(2, 0, 1)
    found = [_find(image, _load(_open(photos, 2), 0, seed)["B"].numpy())[0] for seed in range(60)]
    assert {turn for turn, _, _ in found} == set(range(8)) and len({place[1] for place in found}) > 8
    plain = [_find(image, _load(_open(photos, 2, no_flip=True), 0, seed)["B"].numpy())[0] for seed in range(9)]
    assert {turn for turn, _, _ in plain} == {0} and len({place[1:] for place in plain}) == 9


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_whole_images_in_testing(photos: pathlib.Path, scale: int) -> None:
    sample = _load(_open(photos, scale, train=False), 1)
    image = read_image(photos / "test/1.png")[: 42 // scale * scale, : 50 // scale * scale]
    assert (sample["B"].numpy().transpose(1, 2, 0) == image).all()
    assert (sample["A"].numpy().transpose(1, 2, 0) == shrink(image, scale)).all()


def test_y_is_of_studio_range_and_its_small_version_is_not_rounded(photos: pathlib.Path) -> None:
    sample = _load(_open(photos, 2, train=False, input_nc=1, output_nc=1), 0)
    image = read_image(photos / "test/0.png")[:40]
    red, green, blue = image.astype(float).transpose(2, 0, 1)
    luma = np.floor(16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255 + 0.5)
    assert (sample["B"][0].numpy() == luma).all() and luma.min() >= 16 and luma.max() <= 235
    small = sample["A"][0].numpy() * 127.5 + 127.5
    assert np.abs(small - shrink(luma, 2)).max() < 1e-3 and np.abs(small - np.rint(small)).max() > 0.3


def test_a_grey_file_is_its_own_y(tmp_path: pathlib.Path) -> None:
    grey = _image(8, 8, 1)
    assert (file_luma(grey) == grey).all() and file_luma(np.repeat(grey, 3, 2)).max() <= 235


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_deep_files_keep_their_values(tmp_path: pathlib.Path, dtype: str) -> None:
    image = _image(16, 24, 1, dtype)
    write_image(tmp_path / "test/a.tif", image)
    dataset = _open(tmp_path, 2, train=False, input_nc=1, output_nc=1, value_range="dtype")
    sample = dataset.load(0, torch.Generator())
    for side, expected in (("A", shrink(image.astype(float), 2)), ("B", image.astype(float))):
        restored = dataset.ranges[side].restore(sample[side].permute(1, 2, 0).numpy())
        assert np.abs(restored - expected).max() < 1e-4 * image.max()


def test_patches_of_one_epoch_differ_and_are_the_same_in_any_batch(photos: pathlib.Path) -> None:
    dataset = _open(photos, 2, patches_per_image=4)
    assert len(dataset) == 12 and dataset.names[:4] == ["0", "1", "2", "0"]

    def epoch(size: int) -> torch.Tensor:
        loader = EpochLoader(dataset, LoaderOptions(batch_size=size, num_threads=0), seed=3, shuffle=True)
        return torch.cat([batch["B"] for batch in loader.epoch(1)])

    assert (epoch(5) == epoch(1)).all() and len(epoch(3).unique(dim=0)) == 12


@pytest.mark.parametrize(("degradation", "scale"), [("blur_noise", 1), ("blur_noise", 3), ("real_esrgan", 4)])
def test_damage_is_the_samples_own(photos: pathlib.Path, degradation: str, scale: int) -> None:
    dataset = _open(photos, scale, degradation=degradation, no_flip=True)
    first, again, other = (_load(dataset, 0, seed) for seed in (1, 1, 2))
    assert (first["A"] == again["A"]).all() and (first["A"].float() - other["A"].float()).abs().mean() > 1
    assert first["A"].shape[-1] * scale == first["B"].shape[-1] == 8 * scale
    plain = shrink(first["B"].numpy().transpose(1, 2, 0), scale).astype(float)
    assert 1 < np.abs(first["A"].numpy().transpose(1, 2, 0) - plain).mean() < 90


def test_only_training_targets_are_sharpened(photos: pathlib.Path) -> None:
    image = read_image(photos / "train/0.png")
    write_image(photos / "test/0.png", image)
    patch = _load(_open(photos, 1, degradation="real_esrgan", crop_size=40, no_flip=True))
    sharp = patch["B"]
    whole = _load(_open(photos, 1, degradation="real_esrgan", train=False))["B"].numpy()
    assert (whole == image.transpose(2, 0, 1)).all()
    assert not _find(whole, sharp.numpy()) and sharp.float().std() > whole.std()
    assert _find(whole, patch["B_plain"].numpy()), "what discriminators see is not sharpened"


def test_a_plain_target_travels_and_is_mirrored_with_the_sharp_one(photos: pathlib.Path) -> None:
    dataset = _open(photos, 1, degradation="real_esrgan", crop_size=16)
    loader = EpochLoader(dataset, LoaderOptions(batch_size=3, num_threads=0), seed=3, shuffle=True)
    (batch,) = (as_floats(batch) for batch in loader.epoch(1))
    assert batch["B_plain"].dtype == torch.float32 and batch["B_plain"].shape == batch["B"].shape
    assert 0 < (batch["B_plain"] - batch["B"]).abs().mean() < 0.2


@pytest.fixture
def folders(tmp_path: pathlib.Path) -> pathlib.Path:
    for number in range(4):
        large = _image(24, 36, seed=number)
        write_image(tmp_path / f"HR/000{number}.png", large)
        write_image(tmp_path / f"LR/X2/000{number}{'x2' if number else ''}.png", 255 - shrink(large, 2))
    return tmp_path


def test_a_given_folder_of_small_images(folders: pathlib.Path) -> None:
    flags = {"dir_A": "LR/X2", "dir_B": "HR", "phase": "all"}
    dataset = _open(folders, 2, train=False, **flags)
    assert [pair.source.name for pair in dataset.pairs] == ["0000.png", "0001x2.png", "0002x2.png", "0003x2.png"]
    sample = _load(dataset, 2)
    small = shrink(sample["B"].numpy().transpose(1, 2, 0), 2).transpose(2, 0, 1)
    assert (sample["A"].numpy() == 255 - small).all()
    patch = _load(_open(folders, 2, train=True, crop_size=12, **flags), 1, seed=5)
    assert _find(255 - small, patch["A"].numpy()) == [] != _find(_load(dataset, 1)["A"].numpy(), patch["A"].numpy())
    split = [set(_open(folders, 2, train=False, **flags | {"phase": phase}).names) for phase in ("train", "test")]
    assert len(split[0]) == 3 and split[0] | split[1] == set(dataset.names)


def test_damaged_images_of_equal_size(folders: pathlib.Path) -> None:
    write_image(folders / "blurred/a.png", _image(9, 9, seed=1))
    write_image(folders / "sharp/a.png", _image(9, 9, seed=2))
    dataset = _open(folders, 1, train=False, dir_A="blurred", dir_B="sharp", phase="all")
    sample = _load(dataset)
    assert sample["A"].shape == sample["B"].shape == (3, 9, 9) and not dataset.protocol.shrunken


def _other_phase(folders: pathlib.Path, name: str) -> str:
    """Return a phase whose part of the folder, which is split by names, does not hold an image."""
    dataset = _open(folders, 2, train=False, dir_B="HR", phase="test")
    return "train" if name in dataset.names else "test"


@pytest.mark.parametrize("phase", ["all", "train", "test"])
def test_a_small_image_of_no_large_one_is_named_in_folders_that_are_not_split_yet(
    folders: pathlib.Path, phase: str
) -> None:
    write_image(folders / "LR/X2/0009x2.png", _image(12, 18))
    assert "0009x2.png: no high-resolution image belongs to it (1 of 5 files)" in _say(
        folders, dir_A="LR/X2", dir_B="HR", phase=phase
    )
    assert len(_open(folders, 2, train=False, dir_A="LR/X2", dir_B="HR", phase="all", max_dataset_size=2)) == 2


def _say(folders: pathlib.Path, scale: int = 2, **flags: Any) -> str:
    with pytest.raises(UserError) as caught:
        _open(folders, scale, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mistakes_are_one_line(folders: pathlib.Path) -> None:
    given = {"dir_A": "LR/X2", "dir_B": "HR", "phase": "all"}
    assert "--scale 5: choose 1, 2, 3, 4 or 8" in _say(folders, 5)
    assert "--scale 1 with --degradation bicubic" in _say(folders, 1)
    assert "--crop_size 20 must be divisible by --scale 3; try --crop_size 21" in _say(folders, 3, crop_size=20)
    assert "0000.png: 36x24 pixels, too few for --crop_size 26; set --crop_size 24" in _say(
        folders, dir_B="HR", phase="all", crop_size=26
    )
    assert "name the high-resolution ones by --dir_B" in _say(folders, dir_A="LR/X2", phase="all")
    assert "scale 3 part is 12x8" in _say(folders / "HR", 3, dir_A="../HR", dir_B=".", phase="all", crop_size=3)
    write_image(folders / "LR/X2/0002x2.png", _image(11, 18))
    assert "0002x2.png: 18x11 pixels" in _say(folders, **given) and "--scale 2 part is 18x12" in _say(folders, **given)
    (folders / "LR/X2/0002x2.png").unlink()
    assert "neither '0002x2' nor '0002' in" in _say(folders, **given)
    assert "neither '0002x2' nor '0002' in" in _say(folders, **given | {"phase": _other_phase(folders, "0002")})
    assert "--direction BtoA" in _say(folders, direction="BtoA")
    assert "--preprocess resize_and_crop" in _say(folders, preprocess="resize_and_crop")
    assert "--input_nc 1 and --output_nc 3" in _say(folders, input_nc=1)


def test_files_passed_over_do_not_count_for_the_value_range(tmp_path: pathlib.Path) -> None:
    for number in range(3):
        write_image(tmp_path / "train" / f"{number}.png", _image(40, 40, 3, "uint16", number))
    path = tmp_path / "train/1.png"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"1\.png"):
        _open(tmp_path, 2)
    assert len(_open(tmp_path, 2, on_bad_file="skip")) == 3
