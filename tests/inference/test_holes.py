"""Where single images have holes: which mask belongs to which image."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from data.writers import write_image
from inference.holes import HoleSource
from util.errors import UserError


def test_an_image_in_subfolders_has_its_mask_in_equal_ones_or_beside_the_others(tmp_path: pathlib.Path) -> None:
    for place in ("a.png", "deep/a.png", "b.png"):
        write_image(tmp_path / "masks" / place, np.zeros((2, 2, 1), np.uint8))
    source = HoleSource(tmp_path / "masks")
    cases = {"a.jpg": "a.png", "deep/a.jpg": "deep/a.png", "other/a.jpg": "a.png", "x/b.tif": "b.png"}
    for image, mask in cases.items():
        assert source.mask_of(tmp_path / "photos" / image) == tmp_path / "masks" / mask
    with pytest.raises(UserError, match="no mask 'c' in --mask"):
        source.mask_of(tmp_path / "photos" / "deep" / "c.jpg")
    assert HoleSource(tmp_path / "masks" / "a.png").mask_of(tmp_path / "any.jpg") == tmp_path / "masks" / "a.png"
