"""Holes: pure functions of seed, epoch and index, binary at every size, from drawings, files and colours."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import torch

from data import DATASETS
from data.common import CommonDataOptions
from data.loader import sample_seed
from data.masks import KINDS, Mixture, parse_mixture, width_class
from data.masks_files import parse_colour, read_mask, resized_hole
from data.protocol import WIDTHS
from data.transforms import resize
from data.value_range import as_dtype
from data.writers import write_image
from util.errors import BadFile, UserError

RNG = np.random.default_rng(0)


def picture(height: int, width: int, channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    return RNG.integers(1, np.iinfo(dtype).max, (height, width, channels), dtype=dtype)


def folder(root: pathlib.Path, count: int = 4, size: tuple[int, int] = (40, 50), **kind: Any) -> pathlib.Path:
    for phase in ("train", "test"):
        for number in range(count):
            write_image(root / phase / f"{number}.png", picture(*size, **kind))
    return root


def opened(root: pathlib.Path, *, train: bool = False, ranges: Any = None, **flags: Any) -> Any:
    options = DATASETS.options("inpaint")
    names = {name for name in flags if name in options.__dataclass_fields__}
    own = {name: flags.pop(name) for name in names}
    phase = "train" if train else "test"
    common = {"dataroot": str(root), "preprocess": "none", "input_nc": 4, "phase": phase, "cache": "off"} | flags
    return DATASETS.get("inpaint")(options(**own), CommonDataOptions(**common), train=train, ranges=ranges)


def load(dataset: Any, index: int = 0, epoch: int = 0, seed: int = 0) -> dict[str, Any]:
    return dataset.load(index, torch.Generator().manual_seed(sample_seed(seed, epoch, index)))


def hole_of(sample: dict[str, Any]) -> np.ndarray:
    mask = sample["A"][-1]
    assert set(mask.unique().tolist()) <= {-1.0, 1.0}
    return (mask > 0).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
def test_holes_are_as_wide_as_asked_and_depend_on_the_generator_alone(kind: str, width: str) -> None:
    mixture = Mixture((kind,), (1.0,), width)
    for size in ((96, 120), (384, 480)):
        holes = [mixture.draw(size, np.random.default_rng(seed)) for seed in range(24)]
        again = mixture.draw(size, np.random.default_rng(3))
        assert np.array_equal(again, holes[3]) and not np.array_equal(holes[2], holes[3])
        assert all(hole.dtype == bool and hole.shape == size and 0 < hole.mean() <= 0.7 for hole in holes)
        classes = [width_class(hole) for hole in holes]
        assert max(WIDTHS, key=classes.count) == width


def test_the_class_of_a_hole_is_its_depth_whatever_the_resolution() -> None:
    for scale in (1, 3):
        for side, expected in ((4, "narrow"), (16, "medium"), (40, "wide")):
            hole = np.zeros((100 * scale, 130 * scale), bool)
            hole[30 * scale : (30 + side) * scale, 20 * scale : 90 * scale] = True
            assert width_class(hole) == expected
    assert width_class(np.ones((8, 8), bool)) == "wide" and width_class(np.zeros((8, 8), bool)) == "narrow"


def test_tiny_images_have_holes_too() -> None:
    for kind in KINDS:
        for seed in range(5):
            hole = Mixture((kind,), (1.0,)).draw((8, 9), np.random.default_rng(seed))
            assert hole.any() and not hole.all()


def test_the_mixture_keeps_its_shares() -> None:
    mixture = parse_mixture(["boxes:3", "lines:1", "blobs:0"], "medium")
    assert mixture.kinds == ("boxes", "lines", "blobs") and mixture.shares == (0.75, 0.25, 0.0)
    for words, part in ((["box"], "did you mean boxes"), (["lines:x"], "lines:2"), (["lines:0"], "share above 0")):
        with pytest.raises(UserError, match=part):
            parse_mixture(words, "mixed")


def test_training_draws_new_holes_every_epoch_and_testing_the_same_for_every_run(tmp_path: pathlib.Path) -> None:
    root = folder(tmp_path)
    train, test = opened(root, train=True), opened(root)
    first, same, later = load(train, 1), load(train, 1), load(train, 1, epoch=1)
    assert torch.equal(first["A"], same["A"]) and not np.array_equal(hole_of(first), hole_of(later))
    fixed = [hole_of(load(test, 1, epoch, seed)) for epoch, seed in ((0, 0), (3, 5))]
    assert np.array_equal(*fixed)
    assert not np.array_equal(fixed[0], hole_of(load(opened(root, mask_seed=1), 1)))
    fewer = opened(root, max_dataset_size=2)
    assert np.array_equal(fixed[0], hole_of(load(fewer, 1))), "its name decides, not what stands beside it"


@pytest.mark.parametrize(("channels", "dtype"), [(1, "uint8"), (3, "uint8"), (1, "uint16"), (3, "uint16")])
def test_known_pixels_are_those_of_the_file(tmp_path: pathlib.Path, channels: int, dtype: str) -> None:
    root = folder(tmp_path, channels=channels, dtype=dtype)
    dataset = opened(root, input_nc=channels + 1, output_nc=channels)
    sample = load(dataset)
    hole = hole_of(sample)
    assert sample["A"].shape == (channels + 1, 40, 50) and 0 < hole.mean() < 1
    assert torch.equal(sample["A"][:-1][:, ~hole], sample["B"][:, ~hole])
    assert (sample["A"][:-1][:, hole] == -1).all(), "nothing of the truth is left in the hole"
    values = as_dtype(dataset.ranges["B"].restore(sample["B"]), dtype)
    from data.readers import read_image

    assert np.array_equal(values.transpose(1, 2, 0), read_image(root / "test/0.png"))
    assert dataset.formats["B"].channels == channels and len(dataset.pairs) == 4


@pytest.mark.parametrize("preprocess", ["crop", "resize_and_crop", "scale_width_and_crop", "none"])
def test_masks_stay_binary_and_move_with_their_image(tmp_path: pathlib.Path, preprocess: str) -> None:
    """Where the mask file is white the image is white too, so that they can be compared after any geometry."""
    for phase in ("train", "test"):
        image = np.zeros((60, 80, 3), np.uint8)
        image[20:41, 30:61] = 255
        write_image(tmp_path / phase / "a.png", image)
        write_image(tmp_path / "masks" / "a.png", image[..., :1])
    for train in (True, False):
        flags = {"preprocess": preprocess, "crop_size": 32, "load_size": 45, "masks": "masks"}
        dataset = opened(tmp_path, train=train, **flags)
        for epoch in range(4):
            sample = load(dataset, epoch=epoch)
            bright = (sample["B"][0] > 0).numpy()
            assert (bright != hole_of(sample)).mean() < 0.06  # a row more or less where the two are resized apart


def test_masks_are_found_by_name_or_drawn(tmp_path: pathlib.Path) -> None:
    root = folder(tmp_path, size=(20, 30))
    for number in range(4):
        mask = np.zeros((20, 30, 1), np.uint8)
        mask[number, :] = 255
        write_image(tmp_path / "holes" / f"{number}_mask.png", mask)
    by_name = opened(root, masks="holes")
    assert [np.flatnonzero(hole_of(load(by_name, i)).any(1)).tolist() for i in range(4)] == [[0], [1], [2], [3]]
    inverted = opened(root, masks="holes", invert_masks=True)
    assert np.flatnonzero(~hole_of(load(inverted, 2)).all(1)).tolist() == [2]
    drawn = opened(root, masks=str(tmp_path / "holes"), masks_by="random", train=True)
    assert len({np.flatnonzero(hole_of(load(drawn, 0, epoch)).any(1))[0] for epoch in range(20)}) == 4
    (tmp_path / "holes/3_mask.png").unlink()
    assert hole_of(load(opened(root, masks="holes"), 0)).any(), "auto falls back to any mask"
    with pytest.raises(UserError, match="no mask '3'"):
        opened(root, masks="holes", masks_by="name")


def test_a_drawn_mask_is_of_the_crop_so_that_none_is_without_a_hole(tmp_path: pathlib.Path) -> None:
    root = folder(tmp_path, size=(60, 80))
    mask = np.zeros((60, 80, 1), np.uint8)
    mask[:15, :20] = 255
    write_image(tmp_path / "holes/any.png", mask)
    dataset = opened(root, masks="holes", train=True, preprocess="crop", crop_size=16)
    holes = [hole_of(load(dataset, 0, epoch)) for epoch in range(8)]
    assert all(hole.shape == (16, 16) and hole.sum() == 16 for hole in holes)


def test_masks_of_damaged_images_cover_all_that_resizing_mixes_with_the_damage(tmp_path: pathlib.Path) -> None:
    clean, mask = np.full((40, 40, 3), 200, np.uint8), np.zeros((40, 40, 1), np.uint8)
    mask[11:14, 5:30] = 255
    struck = np.where(mask > 0, np.uint8(0), clean)
    for phase in ("train", "test"):
        write_image(tmp_path / phase / "clean/a.png", clean)
        write_image(tmp_path / phase / "struck/a.png", struck)
    write_image(tmp_path / "masks/a.png", mask)
    flags = {"dir_A": "struck", "dir_B": "clean", "masks": "masks", "preprocess": "resize_and_crop"}
    sample = load(opened(tmp_path, load_size=29, crop_size=29, **flags))
    known = ~hole_of(sample)
    assert known.any() and not torch.equal(sample["A"][:3], sample["B"])
    assert torch.equal(sample["A"][:3, known], sample["B"][:, known])


def test_masks_below_the_images_are_no_images(tmp_path: pathlib.Path) -> None:
    for number in range(4):
        write_image(tmp_path / f"{number}.png", picture(20, 30))
        write_image(tmp_path / f"my/masks/{number}.png", np.tri(20, 30, dtype=np.uint8)[..., None] * 255)
    assert sorted(opened(tmp_path, masks="my/masks", phase="all").names) == ["0", "1", "2", "3"]
    with pytest.raises(UserError, match="folder of their own"):
        opened(tmp_path, masks=".", train=True)


def test_masks_without_a_hole_are_refused(tmp_path: pathlib.Path) -> None:
    root = folder(tmp_path, count=1)
    write_image(tmp_path / "masks/0.png", np.zeros((40, 50, 1), np.uint8))
    with pytest.raises(BadFile, match="none of it is a hole.*--invert_masks"):
        load(opened(root, masks="masks"))


def test_mask_files_of_every_kind_say_the_same(tmp_path: pathlib.Path) -> None:
    hole = RNG.random((9, 7)) < 0.5
    kinds = {
        "bytes.png": hole[..., None].astype(np.uint8) * 255,
        "ones.png": hole[..., None].astype(np.uint8),
        "deep.png": hole[..., None].astype(np.uint16) * 65535,
        "colour.png": hole[..., None] * np.array([255, 0, 0], np.uint8),
        "opaque.png": np.dstack([hole * 255] * 3 + [np.full(hole.shape, 255)]).astype(np.uint8),
        "floats.tif": hole[..., None].astype(np.float32),
    }
    for name, values in kinds.items():
        write_image(tmp_path / name, values)
        assert np.array_equal(read_mask(tmp_path / name), hole), name
        assert np.array_equal(read_mask(tmp_path / name, invert=True), ~hole), name


def test_a_resized_hole_counts_by_half_or_by_a_touch() -> None:
    hole = np.zeros((8, 8), bool)
    hole[0, 0] = True
    assert not resized_hole(hole, (4, 4)).any()
    touched = resized_hole(hole, (4, 4), touched=True)
    assert touched[0, 0] and touched.sum() <= 4
    assert resized_hole(np.ones((8, 8), bool), (3, 5)).all()


@pytest.mark.parametrize("size", [(60, 45), (37, 90), (130, 47)])
def test_no_damage_is_mixed_into_known_pixels_by_resizing(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    hole = random.random((90, 90)) < 0.003
    damage = np.where(hole, random.random(hole.shape), 0).astype(np.float32)
    mixed = resize(torch.from_numpy(damage)[None], size)[0].abs().numpy()
    found = resized_hole(hole, size, touched=True)
    assert (mixed > 1e-2).any() and not found.all() and mixed[~found].max() < 1e-3


def test_damage_is_found_by_its_colour_with_the_truth_beside_it(tmp_path: pathlib.Path) -> None:
    image = picture(30, 40)
    struck = image.copy()
    struck[10:13] = (1, 2, 0)
    for phase in ("train", "test"):
        write_image(tmp_path / phase / "clean/a.png", image)
        write_image(tmp_path / phase / "struck/a.png", struck)
    flags = {"dir_A": "struck", "dir_B": "clean", "hole_colour": "0,0,0", "hole_tolerance": 2}
    for train in (True, False):
        sample = load(opened(tmp_path, train=train, no_flip=True, **flags))
        assert np.flatnonzero(hole_of(sample).any(1)).tolist() == [10, 11, 12]
        values = as_dtype((sample["B"].numpy() + 1) * 127.5, "uint8")
        assert np.array_equal(values.transpose(1, 2, 0), image) and "B_mask" not in sample
    with pytest.raises(UserError, match="--hole_colour 0,0,0 or --masks"):
        opened(tmp_path, dir_A="struck", dir_B="clean")


@pytest.mark.parametrize("flags", [{}, {"dir_A": "struck"}, {"dir_B": "struck"}])
def test_damaged_images_without_their_truth_train_on_what_is_known_and_are_not_measured(
    tmp_path: pathlib.Path, flags: dict[str, str]
) -> None:
    image = picture(30, 40)
    image[4:6] = 0
    for phase in ("train", "test"):
        write_image(tmp_path / phase / "".join(flags.values()) / "a.png", image)
    test, train = (opened(tmp_path, hole_colour="0", train=train, **flags) for train in (False, True))
    sample = load(test)
    assert np.flatnonzero(hole_of(sample).all(1)).tolist() == [4, 5] and "B" not in sample
    assert test.pairs == [] and set(test.formats) == {"A"}
    sample = load(train)
    hole = hole_of(sample)
    assert hole[4:6].all() and hole[6:].any(), "what is drawn is learned from"
    assert torch.equal(sample["B_mask"][0] == 0, torch.from_numpy(hole & (np.arange(30)[:, None] // 2 == 2)))


def test_colours_in_words_that_are_none(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="such as 0,0,0"):
        parse_colour("black", 0)
    with pytest.raises(UserError, match="2 values, but images have 3"):
        load(opened(folder(tmp_path), hole_colour="0,0"))


def test_channels_that_leave_no_room_for_the_mask_name_the_right_number(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="give --input_nc 2"):
        opened(folder(tmp_path), input_nc=1, output_nc=1)


def test_patches_are_for_training_alone_and_a_broken_file_can_be_passed_over(tmp_path: pathlib.Path) -> None:
    root = folder(tmp_path)
    flags = {"preprocess": "crop", "crop_size": 32}
    assert load(opened(root, train=True, **flags))["A"].shape == (4, 32, 32)
    assert load(opened(root, **flags))["A"].shape == (4, 40, 50)
    (root / "train/0.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="0.png"):
        opened(root, train=True)
    assert load(opened(root, train=True, on_bad_file="skip"), 1)["A"].shape == (4, 40, 50)


def test_the_cache_gives_the_same_samples(tmp_path: pathlib.Path) -> None:
    root = folder(tmp_path / "images")
    flags = {"train": True, "preprocess": "resize_and_crop", "load_size": 40, "crop_size": 32}
    plain = load(opened(root, **flags))
    for _ in range(2):
        cached = load(opened(root, **(flags | {"cache": str(tmp_path / "cache")})))
        assert torch.equal(plain["A"], cached["A"]) and torch.equal(plain["B"], cached["B"])
