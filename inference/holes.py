"""Where single images have holes: a mask given with them, their transparent pixels, or a colour."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

import numpy as np

from data.listing import by_stem, images_in
from data.masks_files import Damage, read_mask
from util.errors import UserError


@dataclass(frozen=True)
class HoleSource:
    """Finds the holes of images that are to be filled.

    Args:
        masks: a mask file for one image, or a folder of masks named like the images; white is the hole.
        invert: whether black is the hole.
        damage: pixels of a colour, looked for where neither a mask nor transparency says more.
    """

    masks: pathlib.Path | None = None
    invert: bool = False
    damage: Damage | None = None

    def of_file(self, path: pathlib.Path) -> np.ndarray | None:
        """Return the hole (H,W) bool that the masks give an image file, None without masks; UserError for no such."""
        if self.masks is None:
            return None
        if not self.masks.is_dir():
            return read_mask(self.masks, invert=self.invert)
        found = by_stem(images_in(self.masks, "masks, white where the holes are"), self.masks)
        if path.stem not in found:
            raise UserError(f"{path}: no mask '{path.stem}' in --mask {self.masks}; add it")
        return read_mask(found[path.stem], invert=self.invert)

    def find(self, image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the image without transparency and its hole (H,W) bool.

        Args:
            image: (H,W,C) file values; of two and four channels the last is how opaque a pixel is.
            mask: (H,W) or (H,W,1), bool, or anything that is above zero in the hole.

        Raises:
            UserError: nothing says where the hole is, or the mask is of another size.
        """
        opaque = image[..., -1] if image.shape[2] in (2, 4) and image.dtype != np.float32 else None
        pixels = image if opaque is None else image[..., :-1]
        if mask is not None:
            hole = np.asarray(mask).reshape(mask.shape[:2]) > 0
            _check_size(hole, image)
            return pixels, hole
        if opaque is not None and (opaque < np.iinfo(image.dtype).max).any():
            return pixels, opaque <= np.iinfo(image.dtype).max // 2
        if self.damage is not None:
            return pixels, self.damage.hole(pixels)
        raise UserError(
            "where is the hole? give its mask by --mask, white = hole, or an image with transparent pixels there, or "
            "name the colour of the damage by --hole_colour 0,0,0"
        )


def _check_size(hole: np.ndarray, image: np.ndarray) -> None:
    if hole.shape != image.shape[:2]:
        raise UserError(
            f"the mask has {hole.shape[1]}x{hole.shape[0]} pixels and the image {image.shape[1]}x{image.shape[0]}; "
            "make the mask as large"
        )
