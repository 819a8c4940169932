"""One image in, one image out, in the kind and depth it came in: the Python use of a trained model."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from data.sample import fit_channels
from data.value_range import DTYPE_RANGES, ValueRange, as_dtype
from data.writers import as_hwc
from inference.predictor import Predictor

if TYPE_CHECKING:
    from PIL import Image


@dataclasses.dataclass(frozen=True)
class Domain:
    """What the values of a domain's files mean: their range, and the dtype that results are stored in."""

    range: ValueRange
    dtype: str


class Translator:
    """Callable on a PIL image or a NumPy array; returns the same kind.

    Args:
        predictor: of a model with one generator.
        channels: of the input and the output.
        domains: "A" and "B" as the run has saved them; without them an image's dtype gives the range of both.
    """

    def __init__(
        self, predictor: Predictor, channels: tuple[int, int], domains: Mapping[str, Domain] | None = None
    ) -> None:
        self.predictor, self.channels, self.domains = predictor, channels, dict(domains or {})

    def __call__(self, image: Image.Image | np.ndarray) -> Any:
        """Translate one image of any size.

        Args:
            image: a PIL image, or an array H x W or H x W x C of uint8, uint16 or float32 file values.

        Returns:
            The same kind. Values and dtype are those of the target domain that the run was trained on.

        Raises:
            UserError: the image has a number of channels that the network cannot take.
        """
        if isinstance(image, np.ndarray):
            return self._translate(image)
        return _to_pil(self._translate(_from_pil(image)))

    def _translate(self, array: np.ndarray) -> np.ndarray:
        if array.dtype.name not in DTYPE_RANGES:
            raise TypeError(f"an image of {array.dtype}: convert it to uint8, uint16 or float32")
        own = Domain(ValueRange(*DTYPE_RANGES[array.dtype.name]), array.dtype.name)
        source, target = self.domains.get("A", own), self.domains.get("B", own)
        fitted = fit_channels(as_hwc(array), self.channels[0], pathlib.Path("image"), "input_nc")
        tensor = torch.from_numpy(source.range.normalize(fitted)).permute(2, 0, 1)[None].contiguous()
        (result,) = (image for label, image in self.predictor({"A": tensor}).items() if label == "fake")
        values = as_dtype(target.range.restore(result[0].permute(1, 2, 0).numpy()), target.dtype)
        return values[..., 0] if array.ndim == 2 and values.shape[2] == 1 else values


def _from_pil(image: Image.Image) -> np.ndarray:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("L", "F"):
        return np.asarray(image)
    return np.asarray(image.convert("RGB"))


def _to_pil(array: np.ndarray) -> Image.Image:
    from PIL import Image

    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
