"""One image in, one image out, in the kind and depth it came in: the Python use of a trained model."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from data.readers import read_image, read_info
from data.streams import read_metadata, write_blocks
from data.value_range import DTYPE_RANGES
from data.writers import as_hwc
from inference.brightness import network_values, painted
from inference.domain import Domain, fit_domains
from inference.large import LargeFile, fits_in_memory
from inference.outputs import to_file_values
from inference.predictor import Predictor
from util.errors import UserError

if TYPE_CHECKING:
    from PIL import Image


class Translator:
    """Callable on a PIL image or a NumPy array; returns the same kind.

    Args:
        predictor: of a model with one generator.
        channels: of the input and the output.
        domains: "A" and "B" as the run has saved them; without them an image's dtype gives the range of both.
        luma: whether the network sees Y alone, and results take their colours from the image.
    """

    def __init__(
        self,
        predictor: Predictor,
        channels: tuple[int, int],
        domains: Mapping[str, Domain] | None = None,
        *,
        luma: bool = False,
    ) -> None:
        self.predictor, self.channels, self.domains = predictor, channels, dict(domains or {})
        self.luma = luma

    def __call__(self, image: Image.Image | np.ndarray) -> Any:
        """Translate one image of any size.

        Args:
            image: a PIL image, or an array H x W or H x W x C of uint8, uint16 or float32 file values.

        Returns:
            The same kind. Values and dtype are those of the target domain that the run was trained on; 16-bit
            images of a run on whole 8-bit ranges give 16-bit images, and the other way round.

        Raises:
            UserError: the network cannot take this number of channels or this shape, or the run says nothing of this
                dtype.
        """
        if isinstance(image, np.ndarray):
            return self._translate(image)
        if not _is_pil(image):
            raise TypeError(
                f"an image as {type(image).__name__}: give a PIL image or a NumPy array; for files there is "
                "translate.file(source, target)"
            )
        return _to_pil(self._translate(_from_pil(image)))

    def _translate(self, array: np.ndarray) -> np.ndarray:
        if array.dtype.name not in DTYPE_RANGES:
            raise TypeError(f"an image of {array.dtype}: convert it to uint8, uint16 or float32")
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise UserError(f"image: an array of {array.shape}; give H x W or H x W x C values, at least one pixel")
        target = self.domains_of(array.dtype.name)[1]
        result = self.predictor(self._batch(array))[self.predictor.model.result]
        values = to_file_values(result[0], target.range, target.format.dtype)
        if self.luma:
            values = painted(values, as_hwc(array))
        return values[..., 0] if array.ndim == 2 and values.shape[2] == 1 else values

    def _batch(self, array: np.ndarray) -> dict[str, torch.Tensor]:
        source = self.domains_of(array.dtype.name)[0]
        fitted = network_values(as_hwc(array), self.channels[0], pathlib.Path("image"), luma=self.luma)
        return {"A": torch.from_numpy(source.range.normalize(fitted)).permute(2, 0, 1)[None].contiguous()}

    def settle(self, files: Sequence[pathlib.Path], count: int) -> None:
        """Settle by the first of ``count`` files what computes the networks; what cannot be read waits for its turn."""
        batches = []
        for path in files:
            with contextlib.suppress(UserError, OSError):
                if fits_in_memory(self.predictor, read_info(path), self.channels):
                    batches.append(self._batch(read_image(path)))
        self.predictor.settle(batches, count)

    def domains_of(self, dtype: str, source: str = "image") -> tuple[Domain, Domain]:
        """Return what the values of a source of this dtype mean, and those of its result.

        UserError naming ``source`` where the run says nothing of this dtype.
        """
        own = {side: Domain.whole(dtype, count) for side, count in zip("AB", self.channels, strict=True)}
        domains = own | fit_domains(self.domains, {"A": dtype}, source)
        return domains["A"], domains["B"]

    def file(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        """Translate an image file of any size into another, with its depth, colour profile and EXIF.

        Files too large for memory are read, translated and written in parts. ``target`` appears whole or not at all;
        its suffix gives the format: .png, .tif and .webp without loss, .jpg at quality 95.

        Raises:
            UserError: the file is missing or damaged, the run cannot take it, or the format cannot hold the result.
        """
        source, target = pathlib.Path(source), pathlib.Path(target)
        info = read_info(source)
        domains = self.domains_of(info.dtype, str(source))
        if not fits_in_memory(self.predictor, info, self.channels):
            LargeFile(self.predictor, source, info, domains, self.channels, luma=self.luma).translate(target)
            return
        values = self._translate(read_image(source))
        write_blocks(target, values.shape, values.dtype.name, [values], read_metadata(source))


def _is_pil(image: object) -> bool:
    from PIL import Image

    return isinstance(image, Image.Image)


def _from_pil(image: Image.Image) -> np.ndarray:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("L", "F"):
        return np.asarray(image)
    if image.mode in ("1", "LA"):
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB"))


def _to_pil(array: np.ndarray) -> Image.Image:
    from PIL import Image

    grey = array.ndim == 2 or array.shape[-1] == 1
    if not grey and (array.dtype != np.uint8 or array.shape[-1] not in (3, 4)):
        raise UserError(f"Pillow cannot hold {array.shape[-1]} channels of {array.dtype}; give the image as an array")
    return Image.fromarray(array.reshape(array.shape[:2]) if grey else array)
