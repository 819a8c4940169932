"""One unpaired domain: audited files and one file -> one side of a sample."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from data.listing import one_dtype, read_infos, readable
from data.prepared import Images, Prepared
from data.readers import read_image
from data.sample import Examples, Side
from data.transforms import draw
from data.value_range import spread


@dataclass(frozen=True)
class Domain:
    """Files of one domain and the names that outputs made from them get."""

    files: list[pathlib.Path]
    names: list[str]

    def examples(
        self, training: Callable[[], Sequence[pathlib.Path]], *, strict: bool = True, skip: bool = False
    ) -> Examples:
        """Read all headers and return what range and format are taken from.

        UserError naming a bad file; without ``strict`` that waits until the file is loaded, and with ``skip`` the
        range is taken from the others.
        """
        dtype = one_dtype(read_infos(self.files, strict=strict))
        return Examples(
            dtype, lambda: readable((functools.partial(read_image, p) for p in spread(training())), skip=skip)
        )

    def preparations(self, side: Side, images: Images) -> list[Callable[[], Any]]:
        """Return one call per file that prepares it, and so puts it in the cache."""
        return [functools.partial(open_image, side, path, images) for path in self.files]


def open_image(side: Side, path: pathlib.Path, images: Images) -> Prepared:
    """Return the prepared image that fills a whole file."""
    return images.open(side, path, functools.partial(read_image, path))


def load_side(
    which: str,
    side: Side,
    path: pathlib.Path,
    images: Images,
    generator: torch.Generator,
    train: bool,
    place: Callable[..., dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return ``which`` ("A" or "B"), its path and, where needed, its mask; uint8 with its range from 8-bit files.

    Args:
        place: makes it of the prepared image, in place of :meth:`Side.place`.
    """
    prepared = open_image(side, path, images)
    geometry = draw(images.options, prepared.size, generator, train=train, path=str(path))
    return place(which, side, prepared, geometry, path) if place else side.place(which, prepared, geometry, path)
