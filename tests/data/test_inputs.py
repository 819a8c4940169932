"""What generators see beside a patch: values by hand, the same from parts and the whole, and under every turn."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib

import numpy as np
import pytest
import torch
from torch import Tensor

from data import DATASETS
from data.common import CommonDataOptions
from data.inputs import Inputs, local_contrast, location, logarithms, places
from data.transforms import Geometry, draw
from util.errors import UserError

EVERYTHING = CommonDataOptions(
    preprocess="crop",
    crop_size=16,
    context="image",
    coordinates=True,
    input_norms=("range", "image", "local", "log"),
    cache="off",
)


def picture(height: int = 40, width: int = 52) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(height)) * 2 - 1


def extended(inputs: Inputs, image: Tensor, geometry: Geometry) -> Tensor:
    size = image.shape[-2], image.shape[-1]

    def read(box: tuple[int, int, int, int]) -> Tensor:
        return Geometry(box=box).cut(image)

    return inputs.extend(read, size, inputs.facts(read, size), geometry)


def test_a_patch_with_the_image_and_a_mask_is_seven_channels() -> None:
    inputs = Inputs.of(CommonDataOptions(context="image", crop_size=8))
    image = picture(16, 32)
    found = extended(inputs, image, Geometry(box=(4, 8, 8, 8)))
    assert inputs.channels == len(inputs.names) == len(found) == 7
    assert torch.equal(found[:3], image[:, 4:12, 8:16])
    torch.testing.assert_close(found[3:6], image.unflatten(1, (8, 2)).unflatten(3, (8, 4)).mean((2, 4)))
    expected = -torch.ones(8, 8)
    expected[2:6, 2:4] = 1
    assert torch.equal(found[6], expected)


def test_a_place_that_covers_a_part_of_a_pixel_is_between() -> None:
    found = location((8, 8), (0, 1, 4, 4), 4)[0]
    assert found[0].tolist() == [0, 1, 0, -1] and found[2].tolist() == [-1] * 4


def test_places_go_from_border_to_border() -> None:
    rows, columns = places((4, 2), (0, 0, 4, 2))
    assert rows[:, 0].tolist() == [-0.75, -0.25, 0.25, 0.75] and columns[0].tolist() == [-0.5, 0.5]
    assert torch.equal(places((40, 60), (3, 5, 7, 9)), places((40, 60), (0, 0, 40, 60))[:, 3:10, 5:14])


def test_each_normalization_is_what_it_says() -> None:
    image = picture() * 0.4 + 0.1
    found = extended(Inputs(3, ("range", "image", "local", "log")), image, Geometry()).unflatten(0, (4, 3))
    assert torch.equal(found[0], image)
    torch.testing.assert_close(found[1].mean((1, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1].std((1, 2), correction=0), torch.ones(3))
    around = image[:, 3:34, 7:38]
    variance, mean = torch.var_mean(around, (1, 2), correction=0)
    torch.testing.assert_close(found[2, :, 18, 22], (image[:, 18, 22] - mean) / variance.sqrt())
    levels = torch.tensor([[[-1.0, 1.0, -2.0]]])
    assert logarithms(levels).flatten().tolist() == pytest.approx([-1, 1, -1])
    assert logarithms(torch.zeros(1, 1, 1)).item() > 0.7


def test_local_contrast_does_not_know_brightness_and_calls_no_noise_contrast() -> None:
    image = picture() * 0.3
    torch.testing.assert_close(local_contrast(image * 0.5 + 0.4), local_contrast(image), atol=1e-3, rtol=1e-3)
    assert local_contrast(torch.full((1, 9, 9), 0.3)).abs().max() < 1e-3


@pytest.mark.parametrize("context", [0, 16])
def test_a_box_is_a_part_of_the_whole(context: int) -> None:
    image, inputs = picture(), dataclasses.replace(Inputs.of(EVERYTHING), context=context)
    whole = extended(dataclasses.replace(inputs, context=0), image, Geometry())
    for top, left in ((0, 0), (24, 36), (11, 17)):
        part = extended(inputs, image, Geometry(box=(top, left, 16, 16)))
        torch.testing.assert_close(part[:14], whole[:14, top : top + 16, left : left + 16], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("flip", "vertical", "quarters"), [*itertools.product((False, True), (False, True), range(4))])
def test_a_turned_patch_is_one_of_the_turned_photograph(flip: bool, vertical: bool, quarters: int) -> None:
    image, inputs = picture(), Inputs.of(EVERYTHING)
    turned = Geometry(None, (5, 30, 16, 16), flip, vertical, quarters)
    size, box = turned.turned_box((40, 52))
    photograph = turned.turn(image)
    assert tuple(photograph.shape[-2:]) == size
    expected = extended(inputs, photograph, Geometry(box=box))
    torch.testing.assert_close(extended(inputs, image, turned), expected, atol=1e-5, rtol=1e-5)


def test_a_context_is_of_patches_of_its_size() -> None:
    with pytest.raises(ValueError, match="16 pixels, and a patch"):
        extended(Inputs.of(EVERYTHING), picture(), Geometry(box=(0, 0, 8, 8)))


@pytest.mark.parametrize("norms", [("image",), ("range", "image", "image"), ("range", "locl")])
def test_impossible_versions_are_one_line(norms: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="range first: range,image|unknown --input_norms 'locl'"):
        Inputs.of(CommonDataOptions(input_norms=norms))


def dataset(root: pathlib.Path, train: bool = True, **flags: object) -> object:
    options = dataclasses.replace(EVERYTHING, dataroot=str(root), phase="train", **flags)  # type: ignore[arg-type]
    return DATASETS.get("aligned")(DATASETS.options("aligned")(), options, train=train)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_samples_of_files_are_those_of_their_pixels(aligned: pathlib.Path, direction: str) -> None:
    plain = dataset(aligned, context="none", coordinates=False, input_norms=("range",), direction=direction)
    whole = dataset(aligned, train=False, direction=direction)
    full = dataset(aligned, rot90=True, flip_vertical=True, direction=direction)
    sample = full.load(2, torch.Generator().manual_seed(3))  # type: ignore[attr-defined]
    assert sample["A"].shape == (18, 16, 16) and sample["B"].shape == (3, 16, 16)
    image = whole.load(2, torch.Generator().manual_seed(3))["A"]  # type: ignore[attr-defined]
    assert image.shape == (3, 32, 32), "outside of training the image is whole and alone"
    flags = dataclasses.replace(EVERYTHING, rot90=True, flip_vertical=True)
    drawn = draw(flags, (32, 32), torch.Generator().manual_seed(3), train=True, path="")
    torch.testing.assert_close(sample["A"], extended(Inputs.of(EVERYTHING), image, drawn), atol=1e-5, rtol=1e-5)
    assert plain.load(2, torch.Generator().manual_seed(3))["A"].shape == (3, 16, 16)  # type: ignore[attr-defined]


def test_sixteen_bits_and_the_cache_change_nothing(tmp_path: pathlib.Path) -> None:
    import cv2

    random = np.random.default_rng(0)
    for phase, side in itertools.product(("train",), ("a", "b")):
        (tmp_path / phase / side).mkdir(parents=True)
        image = random.integers(20_000, 50_000, (40, 48, 3), dtype=np.uint16)
        cv2.imwrite(str(tmp_path / phase / side / "0.png"), image)
    flags = {"dir_A": "a", "dir_B": "b", "value_range": "0,65535"}
    plain = dataset(tmp_path, **flags).load(0, torch.Generator().manual_seed(1))["A"]  # type: ignore[attr-defined]
    for _ in range(2):  # filled, then read
        kept = dataset(tmp_path, **flags, cache=str(tmp_path / "cache"))
        assert torch.equal(kept.load(0, torch.Generator().manual_seed(1))["A"], plain)  # type: ignore[attr-defined]
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 3, "two images, and what is known of the source"
    assert plain[:3].abs().max() < 0.6


def test_an_epoch_can_take_several_patches_of_a_photograph(aligned: pathlib.Path) -> None:
    make, options = DATASETS.get("aligned"), DATASETS.options("aligned")(patches_per_image=3)
    common = dataclasses.replace(EVERYTHING, dataroot=str(aligned))
    images = make(options, common, train=True)
    assert len(images) == len(images.names) == 18 and len(images.preparations()) == 6
    samples = [images.load(index, torch.Generator().manual_seed(index)) for index in (1, 7)]
    assert samples[0]["A_paths"] == samples[1]["A_paths"]
    assert not torch.equal(samples[0]["A"][17], samples[1]["A"][17]), "they lie at other places"
    assert len(make(options, dataclasses.replace(common, phase="test"), train=False)) == 2


def test_a_context_needs_patches(aligned: pathlib.Path) -> None:
    with pytest.raises(UserError, match="use --preprocess crop"):
        dataset(aligned, preprocess="none")
