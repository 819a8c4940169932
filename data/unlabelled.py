"""Pairs, and beside each of them a further source image without a target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from data.domains import Domain, load_side
from data.listing import one_dtype, read_infos
from data.pairs import PairedImages
from data.prepared import Images
from data.transfer import as_floats
from util.errors import UserError


class WithUnlabelled:
    """Paired samples with an image "U" of the source's kind that has no target, drawn at random for each.

    Args:
        pairs: opened for training.
        domain: the images without targets; they get the sources' channels and value range.
        where: what their folder is called in messages.

    Raises:
        UserError: they are stored in another depth than the sources.
    """

    def __init__(self, pairs: PairedImages, domain: Domain, where: str) -> None:
        self._pairs, self._domain, self._images = pairs, domain, Images(pairs.common)
        self.names, self.pairs, self.sources = pairs.names, pairs.pairs, pairs.sources
        self.ranges = pairs.ranges | {"U": pairs.ranges["A"]}
        self.formats = pairs.formats | {"U": pairs.formats["A"]}
        found = one_dtype(read_infos(domain.files, strict=not pairs.common.skips_bad))
        expected = pairs.formats["A"].dtype
        if found != expected:
            raise UserError(f"{where}: {found} files, but those with targets are {expected}; store both in one depth")

    def __len__(self) -> int:
        return len(self._pairs)

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return sample ``index`` with "U" (input_nc, h, w) float32 in [-1,1] and "U_paths"."""
        return as_floats(self.load_stored(index, generator))

    def load_stored(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """As :meth:`load`, but "A" and "B" of 8-bit files stay uint8."""
        sample = self._pairs.load_stored(index, generator)
        path = self._domain.files[int(torch.randint(len(self._domain.files), (), generator=generator))]
        side = self._pairs.sides["A"]
        found = as_floats(load_side("A", side, path, self._images, generator, train=True, place=self.sources.place))
        return sample | {"U": found["A"], "U_paths": found["A_paths"]}

    def preparations(self) -> list[Callable[[], Any]]:
        """Return one call per file that prepares it, and so puts it in the cache."""
        return self._pairs.preparations() + self._domain.preparations(self._pairs.sides["A"], self._images)
