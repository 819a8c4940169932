"""Geometry is drawn once, fits the flags, and matches the reference resize."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from data.common import PREPROCESS, CommonDataOptions
from data.transforms import Geometry, draw, resize
from util.errors import UserError


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("preprocess", PREPROCESS)
@pytest.mark.parametrize("size", [(33, 57), (64, 31), (40, 40)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_output_sizes_of_odd_and_oblong_images(preprocess: str, size: tuple[int, int], dtype: torch.dtype) -> None:
    options = CommonDataOptions(preprocess=preprocess, load_size=48, crop_size=24)
    image = torch.zeros(3, *size, dtype=dtype)
    shape = draw(options, size, _generator(0), train=True, path="a.png")(image).shape[-2:]
    scaled = (max(24, round(size[0] * 48 / size[1])), 48)
    assert tuple(shape) == {"none": size, "scale_width": scaled}.get(preprocess, (24, 24))


def test_the_same_draw_keeps_pixels_of_a_pair_together() -> None:
    options = CommonDataOptions(load_size=40, crop_size=24)
    image = torch.rand(1, 40, 40)
    for seed in range(20):
        geometry = draw(options, (40, 40), _generator(seed), train=True, path="a.png")
        assert torch.equal(geometry(image) * 2, geometry(image * 2))


def test_draws_cover_all_positions_and_both_orientations() -> None:
    options = CommonDataOptions(preprocess="crop", crop_size=8)
    drawn = [draw(options, (10, 10), _generator(seed), train=True, path="") for seed in range(200)]
    assert {g.box[:2] for g in drawn if g.box} == {(y, x) for y in range(3) for x in range(3)}
    assert 60 < sum(g.flip for g in drawn) < 140


def test_each_turn_has_its_own_flag_and_none_moves_the_draws_of_the_others() -> None:
    def drawn(size: tuple[int, int] = (10, 10), **flags: bool) -> list[Geometry]:
        options = CommonDataOptions(preprocess="none", **flags)  # type: ignore[arg-type]
        return [draw(options, size, _generator(seed), train=True, path="") for seed in range(100)]

    plain = drawn()
    assert {(g.flip_vertical, g.quarters) for g in plain} == {(False, 0)}
    assert [g.flip for g in drawn(flip_vertical=True, rot90=True)] == [g.flip for g in plain]
    assert {g.flip_vertical for g in drawn(flip_vertical=True)} == {False, True}
    assert {g.quarters for g in drawn(rot90=True)} == {0, 1, 2, 3}
    assert {g.quarters for g in drawn((10, 12), rot90=True)} == {0, 2}, "a batch needs one size"
    assert not any(g.flip for g in drawn(no_flip=True, rot90=True))


def test_a_turned_box_lies_where_its_pixels_went() -> None:
    image = torch.arange(6 * 9).view(1, 6, 9)
    for flip, vertical, quarters in itertools.product((False, True), (False, True), range(4)):
        geometry = Geometry(None, (1, 2, 3, 5), flip, vertical, quarters)
        size, (top, left, height, width) = geometry.turned_box((6, 9))
        turned = geometry.turn(image)
        assert tuple(turned.shape[-2:]) == size
        assert torch.equal(turned[:, top : top + height, left : left + width], geometry.cut(image))


def test_testing_is_central_and_never_mirrored() -> None:
    options = CommonDataOptions(preprocess="crop", crop_size=8)
    for seed in range(10):
        geometry = draw(options, (10, 12), _generator(seed), train=False, path="")
        assert geometry.box == (1, 2, 8, 8) and not geometry.flip
    assert not any(
        draw(CommonDataOptions(no_flip=True), (9, 9), _generator(s), train=True, path="").flip for s in range(20)
    )


def test_too_small_images_name_file_sizes_and_flag() -> None:
    options = CommonDataOptions(preprocess="crop", crop_size=64)
    with pytest.raises(UserError, match=r"a\.png: 50x40 pixels .*--crop_size 64; set --crop_size 40"):
        draw(options, (40, 50), _generator(0), train=True, path="a.png")
    with pytest.raises(UserError, match="--load_size 32 is below --crop_size 64"):
        draw(CommonDataOptions(load_size=32, crop_size=64), (90, 90), _generator(0), train=True, path="a.png")


@pytest.mark.parametrize("size", [(70, 90), (20, 24)])
def test_resize_is_pillows_antialiased_bicubic(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)).astype(int)
    ours = resize(torch.from_numpy(image).permute(2, 0, 1), size).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - expected).max() <= 1


def test_resize_keeps_sixteen_bit_precision() -> None:
    image = torch.full((1, 12, 12), 40_001.0)
    assert torch.allclose(resize(image, (30, 17)), torch.tensor(40_001.0), rtol=1e-6)
