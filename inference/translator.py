"""One image in, one image out, in the kind and depth it came in: the Python use of a trained model."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from data.inpaint_dataset import with_hole
from data.masks_files import read_mask
from data.metadata import Metadata, read_metadata
from data.readers import read_image, read_info
from data.sample import fit_channels
from data.streams import write_blocks
from data.value_range import DTYPE_RANGES
from data.writers import FileFormat, as_hwc, write_image
from inference.brightness import network_values, painted
from inference.domain import Domain, fit_domains
from inference.holes import HoleSource
from inference.large import LargeFile, fits_in_memory
from inference.outputs import to_file_values
from inference.predictor import UNCERTAINTY, Predictor
from util.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

_LOSSY = (".jpg", ".jpeg")
_UNNAMED = pathlib.Path("image")  # what errors call an image that is in no file


class Translator:
    """Callable on a PIL image or a NumPy array; returns the same kind.

    Args:
        predictor: of a model with one generator.
        channels: of the input and the output.
        domains: "A" and "B" as the run has saved them; without them an image's dtype gives the range of both.
        luma: whether the network sees Y alone, and results take their colours from the image.
        holes: what finds the holes, where the model fills such.
    """

    def __init__(
        self,
        predictor: Predictor,
        channels: tuple[int, int],
        domains: Mapping[str, Domain] | None = None,
        *,
        luma: bool = False,
        holes: HoleSource | None = None,
    ) -> None:
        self.predictor, self.channels, self.domains = predictor, channels, dict(domains or {})
        self.luma, self.holes = luma, holes

    def __call__(self, image: Image.Image | np.ndarray, mask: Image.Image | np.ndarray | None = None) -> Any:
        """Translate one image of any size.

        Args:
            image: a PIL image, or an array H x W or H x W x C of uint8, uint16 or float32 file values.
            mask: for a model that fills holes, H x W, above zero in the hole; without it transparent pixels are.

        Returns:
            The same kind. Values and dtype are those of the target domain that the run was trained on; 16-bit
            images of a run on whole 8-bit ranges give 16-bit images, and the other way round. The ``info`` of a PIL
            image has colour profile, EXIF and resolution of what came in, whose orientation still holds.

        Raises:
            UserError: the network cannot take this number of channels or this shape, or the run says nothing of this
                dtype.
        """
        hole = None if mask is None else np.asarray(mask)
        if isinstance(image, np.ndarray):
            return self._translate(image, hole)[0]
        if not _is_pil(image):
            raise TypeError(
                f"an image as {type(image).__name__}: give a PIL image or a NumPy array; for files there is "
                "translate.file(source, target)"
            )
        result = _to_pil(self._translate(_from_pil(image, alpha=self.holes is not None), hole)[0])
        result.info = _told(image, result, self.predictor.scale)
        return result

    def _translate(
        self, array: np.ndarray, mask: np.ndarray | None = None, path: pathlib.Path = _UNNAMED
    ) -> list[np.ndarray]:
        """Return the result in file values, and with ``mc_dropout`` its uncertainty behind it."""
        if array.dtype.name not in DTYPE_RANGES:
            raise TypeError(f"an image of {array.dtype}: convert it to uint8, uint16 or float32")
        if array.ndim not in (2, 3) or 0 in array.shape:
            raise UserError(f"image: an array of {array.shape}; give H x W or H x W x C values, at least one pixel")
        images = self.predictor(self._batch(array, mask, path))
        target = self.domains_of(array.dtype.name)[1]
        labels = [label for label in (self.predictor.model.result, UNCERTAINTY) if label in images]
        result, *others = [to_file_values(images[label][0], target.range, target.format.dtype) for label in labels]
        values = [self._finished(result, as_hwc(array), mask), *others]
        return [one[..., 0] if array.ndim == 2 and one.shape[2] == 1 else one for one in values]

    def undecided(self, array: np.ndarray) -> dict[str, torch.Tensor]:
        """Return what the model decides by, such as the votes for classes, for H x W x C file values."""
        return self.predictor.undecided(self._batch(array))

    def _finished(self, values: np.ndarray, array: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """Return a result H x W x C with what it takes over from the image: colours, or all outside of the hole."""
        if self.holes is None:
            return painted(values, array) if self.luma else values
        image, hole = self.holes.find(array, mask)
        known = fit_channels(image, self.channels[1], pathlib.Path("image"), "output_nc")
        return np.where(hole[..., None], values, known) if values.dtype == known.dtype else values

    def _batch(
        self, array: np.ndarray, mask: np.ndarray | None = None, path: pathlib.Path = _UNNAMED
    ) -> dict[str, torch.Tensor]:
        if self.holes is not None:
            return self._batch_with_hole(*self.holes.find(as_hwc(array), mask))
        source = self.domains_of(array.dtype.name)[0]
        fitted = network_values(as_hwc(array), self.channels[0], path, luma=self.luma)
        return {"A": torch.from_numpy(source.range.normalize(fitted)).permute(2, 0, 1)[None].contiguous()}

    def _batch_with_hole(self, image: np.ndarray, hole: np.ndarray) -> dict[str, torch.Tensor]:
        source = self.domains_of(image.dtype.name)[0]
        fitted = fit_channels(image, self.channels[1], pathlib.Path("image"), "output_nc")
        values = torch.from_numpy(source.range.normalize(fitted)).permute(2, 0, 1)
        return {"A": with_hole(values, torch.from_numpy(hole)[None])[None].contiguous()}

    def _read_mask(self, path: pathlib.Path) -> np.ndarray:
        return read_mask(path, invert=self.holes is not None and self.holes.invert)

    def settle(self, files: Sequence[pathlib.Path], count: int) -> None:
        """Settle by the first of ``count`` files what computes the networks."""
        self.predictor.settle(self.batches(files), count)

    def batches(self, files: Sequence[pathlib.Path]) -> list[dict[str, torch.Tensor]]:
        """Return files as the predictor takes them, without those that cannot be read or held in memory."""
        batches = []
        for path in files:
            with contextlib.suppress(UserError, OSError, MemoryError):
                if fits_in_memory(self.predictor, read_info(path), self.channels):
                    mask = self.holes.of_file(path) if self.holes else None
                    batches.append(self._batch(read_image(path), mask, path))
        return batches

    def domains_of(self, dtype: str, source: str = "image") -> tuple[Domain, Domain]:
        """Return what the values of a source of this dtype mean, and those of its result.

        UserError naming ``source`` where the run says nothing of this dtype.
        """
        own = {side: Domain.whole(dtype, count) for side, count in zip("AB", self.channels, strict=True)}
        domains = own | fit_domains(self.domains, {"A": dtype}, source)
        return domains["A"], domains["B"]

    def file(
        self, source: str | os.PathLike[str], target: str | os.PathLike[str], mask: pathlib.Path | None = None
    ) -> None:
        """Translate an image file of any size into another, with its depth, colour profile and EXIF.

        ``mask`` is a file with the hole, for a model that fills such, in place of what :class:`HoleSource` finds.

        With ``mc_dropout`` the uncertainty lies beside it as ``NAME_uncertainty``, in the result's depth.

        Files too large for memory are read, translated and written in parts. ``target`` appears whole or not at all;
        its suffix gives the format: .png, .tif and .webp without loss, .jpg at quality 95.

        Raises:
            UserError: the file is missing or damaged, the run cannot take it, or the format cannot hold the result.
        """
        source, target = pathlib.Path(source), pathlib.Path(target)
        if mask is not None and self.holes is None:
            raise UserError("the run fills no holes: leave the mask out")
        if mask is None and self.holes is not None:
            mask = self.holes.mask_of(source)
        info = read_info(source)
        domains = self.domains_of(info.dtype, str(source))
        if not fits_in_memory(self.predictor, info, self.channels):
            large = LargeFile(
                self.predictor, source, info, domains, self.channels, luma=self.luma, holes=self.holes, mask=mask
            )
            large.translate(target)
            return
        hole = None if mask is None else self._read_mask(mask)
        result, *uncertainty = self._translate(read_image(source), hole, source)
        for values in uncertainty:  # first, so that where the result is, all is there
            write_image(uncertainty_file(target, values), values)
        metadata = read_metadata(source).enlarged(self.predictor.scale)
        write_blocks(target, result.shape, result.dtype.name, [result], metadata)


def uncertainty_file(target: pathlib.Path, values: np.ndarray) -> pathlib.Path:
    """Return where the uncertainty of a result goes: beside it, without loss."""
    suffix = FileFormat(values.dtype.name, values.shape[2]).suffix if target.suffix.lower() in _LOSSY else target.suffix
    return target.with_name(f"{target.stem}_{UNCERTAINTY}{suffix}")


def _is_pil(image: object) -> bool:
    from PIL import Image

    return isinstance(image, Image.Image)


def _from_pil(image: Image.Image, *, alpha: bool = False) -> np.ndarray:
    if alpha and image.mode in ("LA", "RGBA"):
        return np.asarray(image)
    if alpha and (image.mode == "PA" or (image.mode == "P" and "transparency" in image.info)):
        return np.asarray(image.convert("RGBA"))
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("L", "F"):
        return np.asarray(image)
    if image.mode in ("1", "LA"):
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB"))


def _told(image: Image.Image, result: Image.Image, scale: int) -> dict[Any, Any]:
    """Return what an image says of itself that holds for its translation too, which lies as it does."""
    profile = Metadata(image.info.get("icc_profile") or b"").of_channels(len(result.getbands())).icc
    density = tuple(scale * value for value in image.info.get("dpi", ()))
    told = {"exif": image.info.get("exif"), "dpi": density, "icc_profile": profile}
    return {key: value for key, value in told.items() if value}


def _to_pil(array: np.ndarray) -> Image.Image:
    from PIL import Image

    grey = array.ndim == 2 or array.shape[-1] == 1
    if not grey and (array.dtype != np.uint8 or array.shape[-1] not in (3, 4)):
        raise UserError(f"Pillow cannot hold {array.shape[-1]} channels of {array.dtype}; give the image as an array")
    return Image.fromarray(array.reshape(array.shape[:2]) if grey else array)
