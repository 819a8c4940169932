from __future__ import annotations

import math

import numpy as np
import pytest

from data.bicubic import enlarge, part_of_shrunken, resize, shrink


def _kernel(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def _dense(length: int, out: int, step: float) -> np.ndarray:
    """Return the (out, length) matrix of imresize by summing the kernel over an image reflected many times."""
    matrix, wide = np.zeros((out, length)), max(step, 1.0)
    mirrored = [*range(length), *range(length - 1, -1, -1)]
    for o in range(out):
        center = (o + 0.5) * step - 0.5
        for j in range(math.floor(center - 3 * wide), math.ceil(center + 3 * wide) + 1):
            matrix[o, mirrored[j % (2 * length)]] += _kernel((center - j) / wide)
    return matrix / matrix.sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("size", "new"), [((24, 36), (12, 18)), ((30, 21), (10, 7)), ((9, 10), (27, 40)), ((5, 40), (11, 13))]
)
def test_equals_the_dense_formula(size: tuple[int, int], new: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((*size, 2))
    rows, columns = (_dense(a, b, a / b) for a, b in zip(size, new, strict=True))
    expected = np.einsum("or,rcn,pc->opn", rows, image, columns)
    assert np.abs(resize(image, new) - expected).max() < 1e-12


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_rounded_once_at_the_end(scale: int, dtype: type) -> None:
    size = (5 * scale, 7 * scale)
    image = np.random.default_rng(scale).integers(0, np.iinfo(dtype).max, (*size, 3), dtype, endpoint=True)
    rows, columns = (_dense(n, n // scale, scale) for n in size)
    exact = np.einsum("or,rcn,pc->opn", rows, image.astype(float), columns)
    wrong = shrink(image, scale) != np.clip(np.floor(exact + 0.5), 0, np.iinfo(dtype).max)
    ties = np.abs(exact - np.floor(exact) - 0.5) < 1e-4
    assert shrink(image, scale).dtype == dtype and not (wrong & ~ties).any()


def test_a_hand_computed_row() -> None:
    step = np.repeat(np.array([[0.0, 0, 0, 0, 255, 255, 255, 255]]), 8, axis=0)[..., None]
    # at scale 2 the weights are (-3, -9, 29, 111, 111, 29, -9, -3) / 256
    assert shrink(step, 2)[0, :, 0] == pytest.approx([-3 * 255 / 256, 17 * 255 / 256, 239 * 255 / 256, 259 * 255 / 256])
    assert (shrink(np.full((9, 7), 77, np.uint8), 3) == 77).all() and shrink(np.zeros((9, 7)), 4).shape == (3, 2)
    assert enlarge(np.full((3, 2, 1), 9, np.uint8), 4).tolist() == np.full((12, 8, 1), 9).tolist()


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_a_part_is_the_part_of_the_whole(scale: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (8 * scale, 11 * scale, 3), np.uint8)
    whole = shrink(image, scale)
    for top, left, height, width in ((0, 0, 8, 11), (0, 4, 3, 7), (5, 0, 3, 2), (3, 5, 2, 2)):
        part = part_of_shrunken(image.shape[:2], scale, (top, left, height, width))
        y, x, h, w = part.box
        assert h <= (height + 4) * scale + 2 and w <= (width + 4) * scale + 2
        assert (part(image[y : y + h, x : x + w]) == whole[top : top + height, left : left + width]).all()
