"""Images with holes: whole images and drawn masks, mask files, or damage that a colour gives away."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data import DATASETS
from data.aligned_dataset import match
from data.common import CommonDataOptions
from data.folders import domain_files, in_phase, locate
from data.listing import data_root, readable
from data.masks import parse_mixture
from data.masks_files import find_masks, parse_colour, resized_hole
from data.pairs import Pair, audit
from data.prepared import Images, Prepared
from data.protocol import WIDTHS, Holes
from data.readers import read_image
from data.sample import Examples, fit_channels, make_sides
from data.transfer import as_floats
from data.transforms import Geometry, Size, draw
from data.value_range import ValueRange, spread
from util.errors import UserError
from util.option import option


@dataclass(frozen=True)
class InpaintDataOptions:
    """Where the holes come from."""

    mask_kinds: tuple[str, ...] = option(
        ("strokes:2", "boxes:1"), "kinds of drawn holes and their shares: strokes, boxes, blobs, border, lines"
    )
    mask_width: str = option("mixed", "how wide drawn holes are", choices=("mixed", *WIDTHS))
    masks: str | None = option(
        None, "folder of mask files, white = hole, in place of drawn holes; below --dataroot, or a whole path"
    )
    masks_by: str = option(
        "auto", "which mask file an image gets: that of its name, or any; auto: by name where all have one",
        choices=("auto", "name", "random"),
    )  # fmt: skip
    invert_masks: bool = option(False, "the holes of mask files are black")
    hole_colour: str | None = option(
        None, "images are damaged: pixels of this colour, in file values such as 0,0,0, are the holes"
    )
    hole_tolerance: float = option(0.0, "how far file values may be from --hole_colour", minimum=0)
    mask_seed: int = option(0, "seed of the holes of val and test images, the same for every run and epoch", minimum=0)

    draws_holes = True


@DATASETS.register(
    "inpaint",
    options=InpaintDataOptions,
    preset={"input_nc": 4, "output_nc": 3, "preprocess": "crop", "diffusion_of": "hole"},
)
class Inpaint:
    """Images and holes: A is the image and, as its last channel, the mask; B the image without holes.

    Images lie in train/ val/ test/ below the root, or in one folder that is split by names; with --dir_A and --dir_B
    damaged images have undamaged ones of the same names. In training every epoch draws other holes; those of val and
    test images depend on their name and --mask_seed alone. With --preprocess crop, val and test images are whole.
    """

    def __init__(
        self,
        options: InpaintDataOptions,
        common: CommonDataOptions,
        *,
        train: bool,
        ranges: dict[str, ValueRange] | None = None,
    ) -> None:
        _check(options, common)
        if not train and common.preprocess == "crop":
            common = dataclasses.replace(common, preprocess="none")
        self.options, self.common, self.train = options, common, train
        self._images = Images(common)
        masks = data_root(common) / options.masks if options.masks else None
        self._files, self.names = list_images_with_holes(common, common.phase, masks)
        self._damage = parse_colour(options.hole_colour, options.hole_tolerance) if options.hole_colour else None
        self._mixture = parse_mixture(options.mask_kinds, options.mask_width)
        self._mask_folder, self._masks = masks, None
        if masks is not None:
            self._masks = find_masks(masks, self.names, options.masks_by, invert=options.invert_masks)
        truth = common.dir_A is not None and common.dir_B is not None
        self._whole = self._damage is None or truth  # whether undamaged images are known
        self.pairs = self._files if self._whole or train else []
        dtype = audit(self._files, strict=train and not common.skips_bad)[1]
        alone = dataclasses.replace(common, input_nc=common.output_nc)  # the mask is no channel of files
        examples = Examples(dtype, self._training_images)
        self.sides = make_sides(alone, examples, examples, ranges)
        known = self.sides if self.pairs else {"A": self.sides["A"]}
        self.ranges = {name: side.range for name, side in known.items()}
        self.formats = {name: side.format for name, side in known.items()}
        self.protocol = Holes()

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return sample ``index``, its crop and hole as the generator says.

        "A" is (output_nc + 1, h, w) float32 in [-1,1]: the image, -1 in its hole, and the mask, 1 in the hole and -1
        elsewhere. "B" (output_nc, h, w) is the image without the hole, where it is known. With them come "A_paths",
        "B_paths", "names", "key" and, where pixels of B are unknown, "B_mask".
        """
        return as_floats(self.load_stored(index, generator))

    def load_stored(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """As :meth:`load`, but images of 8-bit files stay uint8, with their range as "A_range" and "B_range"."""
        pair, name = self._files[index], self.names[index]
        target = self._open("B", pair.target)
        geometry = draw(self.common, target.size, generator, train=self.train, path=str(pair.target))
        clean = self.sides["B"].place("B", target, geometry, pair.target)
        size = clean["B"].shape[-2], clean["B"].shape[-1]
        damaged = self._damaged(pair, geometry)
        hole = self._hole(pair, damaged, target.size, size, geometry, self._random(name, generator))
        shown = clean
        if pair.source != pair.target:
            shown = self.sides["A"].place("B", self._open("A", pair.source), geometry, pair.source)
        sample: dict[str, Any] = {"A": with_hole(shown["B"], _plane(hole)), "A_paths": str(pair.source)}
        sample |= {"A_range": shown["B_range"]} if "B_range" in shown else {}
        if self.pairs:
            sample |= clean
            if not self._whole and damaged is not None:
                sample["B_mask"] = _plane(~damaged).float() * sample.get("B_mask", 1.0)
        return sample | {"names": name, "key": generator.initial_seed()}

    def _random(self, name: str, generator: torch.Generator) -> np.random.Generator:
        """Return what holes are drawn from: the sample's generator in training, the image's name else."""
        if self.train:
            return np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        digest = hashlib.blake2b(f"{self.options.mask_seed}:{name}".encode(), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(digest, "big"))

    def _hole(
        self,
        pair: Pair,
        damaged: np.ndarray | None,
        found: Size,
        size: Size,
        geometry: Geometry,
        random: np.random.Generator,
    ) -> np.ndarray:
        """Return the hole (h,w) of a sample: its damage, a mask file or a drawn one; both where no truth is known."""
        if damaged is not None and self._masks is None and (not self.train or (self._whole and damaged.any())):
            return damaged
        if self._masks is None:
            drawn = self._mixture.draw(size, random)
        elif self._masks.named:
            touched = pair.source != pair.target  # of a damaged image no more than the hole may be learned
            whole = self._masks.hole(self._masks.named[pair.name], geometry.resize or found, touched=touched)
            drawn = geometry.cut(torch.from_numpy(whole)[None])[0].numpy()
        else:
            drawn = self._masks.hole(self._masks.drawn(random.random()), size)
        return drawn if damaged is None else drawn | damaged

    def _damaged(self, pair: Pair, geometry: Geometry) -> np.ndarray | None:
        """Return where the cut of the source is damaged, (h,w); None where damage is not looked for."""
        if self._damage is None:
            return None
        whole = self._damage.hole(self._read(pair.source))
        scaled = resized_hole(whole, geometry.resize or (whole.shape[0], whole.shape[1]), touched=True)
        return geometry.cut(torch.from_numpy(scaled)[None])[0].numpy()

    def _open(self, which: str, path: pathlib.Path) -> Prepared:
        return self._images.open(self.sides[which], path, functools.partial(read_image, path))

    def _read(self, path: pathlib.Path) -> np.ndarray:
        return fit_channels(read_image(path), self.common.output_nc, path, "--output_nc")

    def preparations(self) -> list[Callable[[], Any]]:
        """Return one call per image that prepares it, and so puts it in the cache."""
        return [functools.partial(self._open, "B", pair.target) for pair in self._files]

    def _training_images(self) -> Iterable[np.ndarray]:
        try:
            files = list_images_with_holes(self.common, "train", self._mask_folder)[0]
        except UserError:
            files = self._files
        reads = (functools.partial(read_image, pair.target) for pair in spread(files))
        return readable(reads, skip=self.common.skips_bad)


def list_images_with_holes(
    common: CommonDataOptions, phase: str, masks: pathlib.Path | None = None
) -> tuple[list[Pair], list[str]]:
    """Return the images of one phase and their names; UserError where folders are missing or do not match.

    Args:
        masks: the folder of masks, which are no images even where it lies among them.
    """
    if common.dir_A is None or common.dir_B is None:
        files, names = domain_files(common, common.dir_A or common.dir_B or ".", phase, but=masks)
        pairs = [Pair(name, path, path) for name, path in zip(names, files, strict=True)]
    else:
        root = data_root(common)
        (damaged, whole), (clean, _) = locate(root, common.dir_A, phase), locate(root, common.dir_B, phase)
        pairs = match(damaged, clean)
        kept = set(in_phase(common, [pair.name for pair in pairs], phase, whole))
        pairs = [pair for pair in pairs if pair.name in kept][: common.max_dataset_size]
    return pairs, [pair.name for pair in pairs]


def _check(options: InpaintDataOptions, common: CommonDataOptions) -> None:
    if common.input_nc != common.output_nc + 1:
        raise UserError(
            f"--input_nc {common.input_nc} and --output_nc {common.output_nc}: the input is the image and its mask, so "
            f"give --input_nc {common.output_nc + 1}"
        )
    if common.direction == "BtoA":
        raise UserError("--direction BtoA: --dataset_mode inpaint only fills holes; leave the flag out")
    if common.dir_A and common.dir_B and not (options.hole_colour or options.masks):
        raise UserError(
            f"--dir_A {common.dir_A}: say where its images are damaged, by --hole_colour 0,0,0 or --masks FOLDER"
        )


def with_hole(image: Tensor, mask: Tensor) -> Tensor:
    """Return (C+1,h,w): the image, black in its hole, and the mask as white on black, in the image's dtype.

    Args:
        image: (C,h,w), uint8 as in files or float32 in [-1,1].
        mask: (1,h,w) bool, True in the hole.
    """
    black, white = (0, 255) if image.dtype == torch.uint8 else (-1, 1)
    plane = torch.full_like(image[:1], black).masked_fill(mask, white)
    return torch.cat([image.masked_fill(mask, black), plane])


def _plane(hole: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(hole))[None]
