"""High-resolution images -> patches or whole images with their low-resolution inputs."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data import DATASETS
from data.bicubic import Box, Size, part_of_shrunken
from data.colour import file_luma
from data.common import CommonDataOptions, PatchOptions
from data.degradations import Degradation, make_degradation
from data.listing import readable
from data.pairs import Pair
from data.prepared import Images, Prepared
from data.protocol import Protocol
from data.readers import read_image
from data.sample import Examples, make_sides
from data.sr_colours import Colours
from data.sr_files import audit_scaled, check_sizes, list_scaled_pairs
from data.transfer import as_floats
from data.value_range import ValueRange, spread
from util.errors import UserError
from util.option import option

SCALES = (1, 2, 3, 4, 8)
DEGRADATIONS = ("bicubic", "blur_noise", "real_esrgan")


@dataclass(frozen=True)
class SuperResolutionOptions(PatchOptions):
    """How low-resolution inputs are made of high-resolution images."""

    scale: int = option(4, "enlargement: 1 (restoration at equal size), 2, 3, 4 or 8", "identity", minimum=1, maximum=8)
    degradation: str = option(
        "bicubic",
        "how inputs are made: bicubic (shrunken), blur_noise (blurred and noisy too), real_esrgan (blur, noise, JPEG "
        "and ringing, twice; targets sharpened); no matter where --dir_A gives inputs",
        choices=DEGRADATIONS,
    )

    @property
    def enlargement(self) -> int:
        """Return how many times as large as inputs targets are."""
        return self.scale


@DATASETS.register(
    "super_resolution", options=SuperResolutionOptions, preset={"preprocess": "crop", "crop_size": 96}
)
class SuperResolution:
    """Sharp images and their small versions, made on the fly or given by --dir_A; --crop_size is of the large patch.

    Images lie in train/ val/ test/ below the root or --dir_B, or in one folder that is split by names. In training
    patches are cut, mirrored and turned; otherwise images are whole, cut to a multiple of ``--scale``. With one
    channel of input and output colour files give Y of BT.601.
    """

    def __init__(
        self,
        options: SuperResolutionOptions,
        common: CommonDataOptions,
        *,
        train: bool,
        ranges: dict[str, ValueRange] | None = None,
    ) -> None:
        self.options, self.common, self.train, self.scale = options, common, train, options.scale
        _check(options, common, train)
        crops = train and "crop" in common.preprocess
        self._crop = common.crop_size if crops else None
        self._luma = common.input_nc == common.output_nc == 1
        self._images = Images(common)
        images = list_scaled_pairs(common, self.scale, common.phase)
        audited = audit_scaled(images, self.scale, self._crop, strict=train and not common.skips_bad)
        self.pairs = images * (options.patches_per_image if train else 1)
        self.names = [pair.name for pair in self.pairs]
        self.sides = make_sides(
            common, self._examples(audited.source_dtype, 0), self._examples(audited.target_dtype, 1), ranges
        )
        self.ranges = {name: side.range for name, side in self.sides.items()}
        self.formats = {name: side.format for name, side in self.sides.items()}
        self._degrade: Degradation | None = make_degradation(options.degradation, self.scale)
        self.protocol = Protocol(self.scale, self._degrade is None and common.dir_A is None, self._luma)

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return sample ``index``, its patch and degradation as the generator says.

        "A" (input_nc, h, w) and "B" (output_nc, scale*h, scale*w) are float32 in [-1,1]; with them come "A_paths",
        "B_paths", "names", "key" and, where the target has non-finite pixels, "B_mask"; where it is sharpened
        "B_plain", which is not. UserError naming the file when it cannot be read or does not fit the flags. Outside
        training there are "colours" too.
        """
        return as_floats(self.load_stored(index, generator))

    def load_stored(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """As :meth:`load`, but images of 8-bit files stay uint8, with their range as "A_range" and "B_range".

        Y that is shrunken here is not rounded, as in the papers, and so is never uint8.
        """
        pair = self.pairs[index]
        target = self._open("B", pair.target)
        size = _cut(target.size, self.scale)
        if pair.source != pair.target:
            source = self._open("A", pair.source)
            check_sizes(pair, source.size, target.size, self.scale)
            size = source.size[0] * self.scale, source.size[1] * self.scale
        box = self._box(pair, size, generator)
        if pair.source != pair.target:
            images = [_pixels(source, _divided(box, self.scale)), _pixels(target, box)]
        else:
            images = self._made(target, size, box, generator)
        sample = self._sample(pair, images, generator)
        if not self.train:
            sample["colours"] = Colours(pair.source, pair.target, self.scale, size)
        return sample

    def _made(self, target: Prepared, size: Size, box: Box, generator: torch.Generator) -> list[np.ndarray]:
        """Return input and target of a box of the target, (h,w,C) each in file values; as third one a plain target."""
        if self._degrade is not None:
            seed = int(torch.randint(2**62, (), generator=generator))
            around = self._degrade.around(size, box)
            random, large = np.random.default_rng(seed), _pixels(target, around)
            limits = _limits(large.dtype, self.ranges["B"])
            return self._degrade(large, _within(box, around), random, limits, sharpen=self.train)
        part = part_of_shrunken(size, self.scale, _divided(box, self.scale))
        around = _union(part.box, box)
        large = _pixels(target, around)
        source = _part(large, _within(part.box, around))
        small = part(source.astype(np.float64) if self._luma else source)
        return [small, _part(large, _within(box, around))]

    def _sample(self, pair: Pair, images: list[np.ndarray], generator: torch.Generator) -> dict[str, Any]:
        turn = int(torch.randint(8, (), generator=generator)) if self.train and not self.common.no_flip else 0
        sample: dict[str, Any] = {"names": pair.name, "key": generator.initial_seed()}
        tensors = [_chw(turned(image, turn)) for image in images]
        for side, image, path in zip("AB", tensors, (pair.source, pair.target), strict=False):
            sample |= self._placed(side, image, path)
        for plain in tensors[2:]:
            sample["B_plain"] = self._placed("B", plain, pair.target)["B"]
        return sample

    def _placed(self, which: str, image: Tensor, path: pathlib.Path) -> dict[str, Any]:
        part: dict[str, Any] = {which: image, f"{which}_paths": str(path)}
        if image.dtype == torch.uint8:
            return part | {f"{which}_range": self.ranges[which]}
        part[which] = torch.from_numpy(self.ranges[which].normalize(image.numpy()))
        finite = image.isfinite().all(dim=0, keepdim=True)
        return part if finite.all() else part | {f"{which}_mask": finite.float()}

    def _box(self, pair: Pair, size: Size, generator: torch.Generator) -> Box:
        """Return the box of the target that the sample shows, on the grid of the input's pixels."""
        crop, scale = self._crop, self.scale
        if crop is None:
            return 0, 0, *size
        if min(size) < crop:
            raise UserError(f"{pair.target}: {size[1]}x{size[0]} pixels, less than --crop_size {crop}; leave it out")
        at = torch.rand(2, generator=generator).tolist()
        top, left = (int(at[axis] * ((size[axis] - crop) // scale + 1)) * scale for axis in (0, 1))
        return top, left, crop, crop

    def _open(self, which: str, path: pathlib.Path) -> Prepared:
        return self._images.open(self.sides[which], path, functools.partial(self._read, path), "Y" * self._luma)

    def _read(self, path: pathlib.Path) -> np.ndarray:
        return file_luma(read_image(path)) if self._luma else read_image(path)

    def preparations(self) -> list[Callable[[], Any]]:
        """Return one call per image that prepares it, and so puts it in the cache."""
        files = {(side, path) for p in self.pairs for side, path in (("A", p.source), ("B", p.target))}
        return [functools.partial(self._open, *file) for file in sorted(files)]

    def _examples(self, dtype: str, side: int) -> Examples:
        return Examples(dtype, lambda: self._training_images(side))

    def _training_images(self, side: int) -> Iterable[np.ndarray]:
        try:
            pairs: Sequence[Pair] = list_scaled_pairs(self.common, self.scale, "train")
        except UserError:
            pairs = self.pairs
        reads = (functools.partial(self._read, (pair.source, pair.target)[side]) for pair in spread(pairs))
        return readable(reads, skip=self.common.skips_bad)


def _check(options: SuperResolutionOptions, common: CommonDataOptions, train: bool) -> None:
    scale, crop = options.scale, common.crop_size
    if scale not in SCALES:
        raise UserError(f"--scale {scale}: choose 1, 2, 3, 4 or 8")
    if scale == 1 and options.degradation == "bicubic" and common.dir_A is None:
        raise UserError(
            "--scale 1 with --degradation bicubic: inputs would equal their targets; use --degradation blur_noise or "
            "real_esrgan, or name damaged images by --dir_A"
        )
    if common.dir_A is None and common.input_nc != common.output_nc:
        raise UserError(
            f"--input_nc {common.input_nc} and --output_nc {common.output_nc}: inputs are made of the targets, so give "
            "the same number twice"
        )
    if options.degradation == "real_esrgan" and common.output_nc not in (1, 3):
        raise UserError(f"--degradation real_esrgan: JPEG holds 1 or 3 channels, not --output_nc {common.output_nc}")
    if common.direction == "BtoA":
        raise UserError("--direction BtoA: --dataset_mode super_resolution only enlarges; leave the flag out")
    if common.preprocess not in ("crop", "none"):
        raise UserError(
            f"--preprocess {common.preprocess}: --dataset_mode super_resolution does not resize its targets; use crop "
            "or none"
        )
    if train and common.preprocess == "crop" and crop % scale:
        nearest = max(scale, round(crop / scale) * scale)
        raise UserError(f"--crop_size {crop} must be divisible by --scale {scale}; try --crop_size {nearest}")


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """Return (h,w,C) in one of its 8 mirrored and turned versions."""
    image = np.rot90(image, turn % 4)
    return image[:, ::-1] if turn >= 4 else image


def _cut(size: Size, scale: int) -> Size:
    return size[0] - size[0] % scale, size[1] - size[1] % scale


def _divided(box: Box, scale: int) -> Box:
    return box[0] // scale, box[1] // scale, box[2] // scale, box[3] // scale


def _union(a: Box, b: Box) -> Box:
    top, left = min(a[0], b[0]), min(a[1], b[1])
    return top, left, max(a[0] + a[2], b[0] + b[2]) - top, max(a[1] + a[3], b[1] + b[3]) - left


def _limits(dtype: np.dtype, value_range: ValueRange) -> tuple[float, float]:
    """Return the file values of black and white."""
    return (value_range.low, value_range.high) if dtype.kind == "f" else (0.0, float(np.iinfo(dtype).max))


def _within(box: Box, around: Box) -> Box:
    """Return the box counted from the corner of ``around``."""
    return box[0] - around[0], box[1] - around[1], box[2], box[3]


def _part(image: np.ndarray, box: Box) -> np.ndarray:
    return image[box[0] : box[0] + box[2], box[1] : box[1] + box[3]]


def _pixels(prepared: Prepared, box: Box) -> np.ndarray:
    """Return a box (h,w,C) of an image that may lie in the cache, of which only that much is read."""
    top, left, height, width = box
    values: Tensor = prepared.values[:, top : top + height, left : left + width]
    return values.permute(1, 2, 0).numpy()


def _chw(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
