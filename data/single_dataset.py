"""One folder of source images, for translating without a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from data import DATASETS
from data.common import CommonDataOptions
from data.domains import Domain, load_side
from data.listing import data_root, images_in, output_names
from data.pairs import Pair
from data.prepared import Images
from data.sample import make_sides
from data.transfer import as_floats
from data.value_range import ValueRange


@dataclass(frozen=True)
class SingleOptions:
    """Nothing beyond the common flags."""


@DATASETS.register("single", options=SingleOptions)
class SingleDataset:
    """Images of one folder and its subfolders (or one image file): the source alone."""

    def __init__(
        self,
        options: SingleOptions,
        common: CommonDataOptions,
        *,
        train: bool,
        ranges: dict[str, ValueRange] | None = None,
    ) -> None:
        self.train, self._images = train, Images(common)
        self._domain = _list(common)
        skip = common.skips_bad
        examples = self._domain.examples(lambda: self._domain.files, strict=train and not skip, skip=skip)
        self._side = make_sides(common, examples, None, ranges)["A"]
        self.pairs: list[Pair] = []
        self.names = self._domain.names
        self.ranges = {"A": self._side.range} | (ranges or {})
        self.formats = {"A": self._side.format}

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return "A" (input_nc, h, w) float32 in [-1,1], "A_paths", "names" and "key"."""
        return as_floats(self.load_stored(index, generator))

    def load_stored(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """As :meth:`load`, but an image of an 8-bit file stays uint8, with its range as "A_range"."""
        path = self._domain.files[index]
        sample = load_side("A", self._side, path, self._images, generator, self.train)
        return sample | {"names": self.names[index], "key": generator.initial_seed()}

    def preparations(self) -> list[Callable[[], Any]]:
        """Return one call per file that prepares it, and so puts it in the cache."""
        return self._domain.preparations(self._side, self._images)


def _list(common: CommonDataOptions) -> Domain:
    root = data_root(common)
    if root.is_file():
        return Domain([root], [root.stem])
    folder = root / common.dir_A if common.dir_A else root
    files = images_in(folder, "the images to translate")
    return Domain(files[: common.max_dataset_size], output_names(files, folder)[: common.max_dataset_size])
