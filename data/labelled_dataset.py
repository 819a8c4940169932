"""Images sorted into folders by what they show, such as SEM images by the depth that their background lies at."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import torch

from data import DATASETS
from data.classes import LabelledOptions, label_values
from data.common import CommonDataOptions
from data.domains import Domain, load_side
from data.folders import domain_files
from data.labels import label_dtype, label_range
from data.pairs import Pair
from data.prepared import Images
from data.protocol import Labels
from data.sample import make_sides
from data.transfer import as_floats
from data.value_range import ValueRange
from data.writers import FileFormat
from util.errors import UserError, did_you_mean


@DATASETS.register("labelled", options=LabelledOptions)
class LabelledImages:
    """<phase>/<class>/*, or with --dir_A <phase>/<dir_A>/<class>/*; the target is an image of the class's value."""

    def __init__(
        self,
        options: LabelledOptions,
        common: CommonDataOptions,
        *,
        train: bool,
        ranges: dict[str, ValueRange] | None = None,
    ) -> None:
        self.train, self._images, self._values = train, Images(common), label_values(options.classes)
        if common.output_nc != 1:
            raise UserError(f"--output_nc {common.output_nc}: a label is one value; use --output_nc 1")
        files, names = domain_files(common, common.dir_A or ".", common.phase)
        self._labels = [_class_of(path, options.classes) for path in files]
        self._domain, skip = Domain(files, names), common.skips_bad
        examples = self._domain.examples(lambda: files, strict=train and not skip, skip=skip)
        self._side = make_sides(common, examples, None, ranges)["A"]
        self.names, self.pairs = names, [Pair(name, path, path) for name, path in zip(names, files, strict=True)]
        self.ranges = {"A": self._side.range, "B": label_range(self._values)}
        self.formats = {"A": self._side.format, "B": FileFormat(label_dtype(self._values), 1)}
        self.protocol = Labels()

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return "A" (input_nc, h, w) and "B" (1, h, w), of one value, in [-1,1], with their path, names and key."""
        return as_floats(self.load_stored(index, generator))

    def load_stored(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """As :meth:`load`, but an image of an 8-bit file stays uint8, with its range as "A_range"."""
        path, value = self._domain.files[index], self._values[self._labels[index]]
        sample = load_side("A", self._side, path, self._images, generator, self.train)
        label = float(self.ranges["B"].normalize(torch.tensor(value).numpy()))
        target = torch.full((1, *sample["A"].shape[-2:]), label)
        return sample | {"B": target, "B_paths": str(path), "names": self.names[index], "key": generator.initial_seed()}

    def preparations(self) -> list[Callable[[], Any]]:
        """Return one call per file that prepares it, and so puts it in the cache."""
        return self._domain.preparations(self._side, self._images)


def _class_of(path: pathlib.Path, classes: tuple[str, ...]) -> int:
    """Return the place among the classes of the nearest folder around a file that is one."""
    for folder in path.parents:
        if folder.name in classes:
            return classes.index(folder.name)
    raise UserError(f"{path}: lies in none of --classes {','.join(classes)}{did_you_mean(path.parent.name, classes)}")
