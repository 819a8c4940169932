"""Where single images have holes: a mask given with them, their transparent pixels, or a colour."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.listing import by_stem, images_in, relative_stem
from data.masks_files import Damage, mask_blocks, read_mask
from data.readers import read_info
from data.streams import Block
from inference.tiling.boxes import Box
from inference.tiling.scratch import Scratch
from util.errors import UserError

_ROWS = 256  # pixels; of an image that is looked through in parts


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
        mask = self.mask_of(path)
        return None if mask is None else read_mask(mask, invert=self.invert)

    def mask_of(self, path: pathlib.Path) -> pathlib.Path | None:
        """Return the mask file of an image file, None without masks; UserError where the folder has none for it.

        An image in subfolders has its mask in such ones, or beside the others.
        """
        if self.masks is None or not self.masks.is_dir():
            return self.masks
        names = [relative_stem(path, folder) for folder in reversed(path.parents)]
        mask = next((self._named[name] for name in names if name in self._named), None)
        if mask is None:
            raise UserError(f"{path}: no mask '{names[-1]}' in --mask {self.masks}; add it")
        return mask

    @functools.cached_property
    def _named(self) -> dict[str, pathlib.Path]:
        """Return the masks of the folder by name; it is listed once, as there may be very many images."""
        assert self.masks is not None
        return by_stem(images_in(self.masks, "masks, white where the holes are"), self.masks)

    def find(self, image: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the image without transparency and its hole (H,W) bool.

        Args:
            image: (H,W,C) file values; of two and four channels the last is how opaque a pixel is.
            mask: (H,W) or (H,W,1), bool, or anything that is above zero in the hole.

        Raises:
            UserError: nothing says where the hole is, or the mask is of another size.
        """
        pixels, opaque = without_alpha(image)
        if mask is not None:
            hole = np.asarray(mask).reshape(mask.shape[:2]) > 0
            _check_size(hole.shape, image.shape)
            return pixels, hole
        return pixels, self._hole(pixels, opaque if _is_clear(opaque) else None)

    def blocks(self, image: Scratch, mask: pathlib.Path | None) -> Iterator[Block]:
        """Yield the hole of an image larger than memory in parts (h,w,1) bool, as :meth:`find` returns it.

        Args:
            image: its file values.
            mask: the file of its mask.
        """
        if mask is not None:
            info = read_info(mask)
            _check_size((info.height, info.width), (image.height, image.width))
            yield from mask_blocks(mask, invert=self.invert)
            return
        bands = [Box(top, 0, min(top + _ROWS, image.height), image.width) for top in range(0, image.height, _ROWS)]
        clear = any(_is_clear(without_alpha(image.read(band))[1]) for band in bands)
        for band in bands:
            pixels, opaque = without_alpha(image.read(band))
            yield Block(band.top, 0, self._hole(pixels, opaque if clear else None)[..., None])

    def _hole(self, pixels: np.ndarray, opaque: np.ndarray | None) -> np.ndarray:
        if opaque is not None:
            return np.asarray(opaque <= np.iinfo(opaque.dtype).max // 2)
        if self.damage is not None:
            return self.damage.hole(pixels)
        raise UserError(
            "where is the hole? give its mask, white = hole (test.py: --mask), or an image with transparent pixels "
            "there; or name the colour of the damage by --hole_colour 0,0,0"
        )


def without_alpha(image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (H,W,C) file values without transparency, and how opaque they are (H,W), None where all of them are."""
    if image.shape[2] in (2, 4) and image.dtype != np.float32:
        return image[..., :-1], image[..., -1]
    return image, None


def _is_clear(opaque: np.ndarray | None) -> bool:
    return opaque is not None and bool((opaque < np.iinfo(opaque.dtype).max).any())


def _check_size(hole: tuple[int, ...], image: tuple[int, ...]) -> None:
    if hole[:2] != image[:2]:
        raise UserError(
            f"the mask has {hole[1]}x{hole[0]} pixels and the image {image[1]}x{image[0]}; make the mask as large"
        )


class HoledImage:
    """The file values of an image, without transparency, and behind them its hole, one channel of 0 and 1.

    Args:
        image: its file values.
        mask: the file of its mask, if it has one.
        folder: of the scratch file that holds the hole.
    """

    def __init__(
        self, image: Scratch, holes: HoleSource, mask: pathlib.Path | None, folder: pathlib.Path | None
    ) -> None:
        self.image, self.height, self.width = image, image.height, image.width
        self.hole = Scratch(image.height, image.width, 1, "uint8", folder)
        for top, left, values in holes.blocks(image, mask):
            self.hole.write(Box(top, left, top + values.shape[0], left + values.shape[1]), values.astype(np.uint8))

    def read(self, box: Box) -> np.ndarray:
        """Return the values within a box, height x width x channels."""
        pixels, _ = without_alpha(self.image.read(box))
        return np.concatenate([pixels, self.hole.read(box).astype(pixels.dtype)], 2)

    def close(self) -> None:
        """Give memory and disk space back."""
        self.hole.close()
        self.image.close()
