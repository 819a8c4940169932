"""Samples whose source has all the channels that the generator sees: the image, and what the flags add to it."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from torch import Tensor

from data.common import CommonDataOptions
from data.inputs import Facts, Inputs
from data.prepared import Images, Prepared
from data.sample import Side
from data.transfer import as_float
from data.transforms import Box, Geometry, Size
from util.errors import UserError


class Sources:
    """Makes the source of a sample, in training with what the generator sees beside the image.

    Outside of training the image is whole and comes alone: the Predictor adds the rest.

    Raises:
        UserError: the flags contradict each other.
    """

    def __init__(self, common: CommonDataOptions, images: Images, *, train: bool) -> None:
        inputs = Inputs.of(common)
        if train and inputs.context and common.preprocess != "crop":
            raise UserError(
                f"--context image shows the whole image behind patches of it, which --preprocess {common.preprocess} "
                "does not cut: use --preprocess crop"
            )
        self._inputs, self._images = inputs if train else Inputs(inputs.image_nc), images

    def place(
        self, which: str, side: Side, prepared: Prepared, geometry: Geometry, path: pathlib.Path, part: str = ""
    ) -> dict[str, Any]:
        """Return what :meth:`Side.place` does, with more channels where the flags ask for them."""
        sample = side.place(which, prepared, geometry, path)
        if self._inputs.plain:
            return sample
        size = geometry.resize or prepared.size

        def read(box: Box) -> Tensor:
            return _floats(side, prepared, box)

        facts = self._facts(side, prepared, size, path, part)
        sample.pop(f"{which}_range", None)
        return sample | {which: self._inputs.extend(read, size, facts, geometry)}

    def _facts(self, side: Side, prepared: Prepared, size: Size, path: pathlib.Path, part: str) -> Facts:
        """Return what has to be known of the whole image, which is read for that once if there is a cache."""
        inputs = self._inputs
        if not inputs.context and "image" not in inputs.norms:
            return Facts()

        def make() -> dict[str, Tensor]:
            whole = _floats(side, prepared, None)
            found = inputs.facts(lambda box: Geometry(box=box).cut(whole), size)
            return {name: value for name, value in dataclasses.asdict(found).items() if value is not None}

        kept = "image" if "image" in inputs.norms else ""
        return Facts(**self._images.derived(side, path, f"{part}/facts/{kept}/{inputs.context}", make))


def _floats(side: Side, prepared: Prepared, box: Box | None) -> Tensor:
    """Return a box of an image, or all of it, (C,h,w) in [-1,1]."""
    values = side.cut(prepared, Geometry(box=box))[0]
    return values if values.is_floating_point() else as_float(values, side.range)
