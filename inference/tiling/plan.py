"""Whole or in tiles, and in which: settled by the memory each way takes, before anything runs."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from inference.tiling.local import margin_for
from inference.tiling.memory import human
from inference.tiling.passes import Pass, last_uses, make_passes
from models.networks.stages import Keep, image_wide_norms
from util.errors import UserError

_LARGEST, _SMALLEST, _MOST_AT_ONCE = 4096, 64, 16
WAYS = {
    "whole": "whole",
    "local": "with the receptive field as margin",
    "layered": "layer by layer, with the statistics of the whole image",
    "preview": "with the statistics of a thumbnail: a PREVIEW, some levels of 255 off, not the result",
}


@dataclass(frozen=True)
class Plan:
    """How one image goes through one network.

    Args:
        way: a key of ``WAYS``.
        tile: side of the tiles in pixels, 0 for the whole image.
        margin: pixels around a tile, at most.
        batch: tiles computed at once.
        memory: bytes it takes beyond the weights, about.
        scratch: bytes stored between layers, exactly.
        folder: of the scratch files; None keeps them in memory.
    """

    way: str
    tile: int = 0
    margin: int = 0
    batch: int = 1
    memory: int = 0
    scratch: int = 0
    folder: pathlib.Path | None = None

    def describe(self, height: int, width: int) -> str:
        """Return one line for the user."""
        parts = f"about {human(self.memory)} of memory"
        if self.scratch:
            parts += f", {human(self.scratch)} of scratch " + (f"in {self.folder}" if self.folder else "in memory")
        if self.way == "whole":
            return f"{width}x{height} pixels whole: {parts}"
        count = math.ceil(height / self.tile) * math.ceil(width / self.tile)
        return f"{width}x{height} pixels in {count} tiles of {self.tile}, {WAYS[self.way]}: {parts}"


@dataclass(frozen=True)
class Needs:
    """What a network takes: bytes for each pixel it computes at once, and bytes stored for each of the image."""

    computed: float
    stored: float = 0.0


def way_of(network: Any, tile_stats: str) -> str:
    """Return how a network can be cut into tiles, as it is set now; "whole" where it cannot."""
    local = hasattr(network, "receptive_field")
    if not image_wide_norms(network):
        return "local" if local else "whole"
    if tile_stats == "thumbnail" and local:
        return "preview"
    return "layered" if hasattr(network, "stages") else "whole"


def margin_of(network: Any, way: str) -> int:
    """Return the pixels that a tile needs around it, in the pass that needs most."""
    if way == "layered":
        return max(one.margin for one in make_passes(network.stages()))
    return margin_for(network.receptive_field, size_multiple_of(network))


def size_multiple_of(network: Any) -> int:
    """Return what the height and width of a network's input must divide by."""
    return getattr(network, "size_multiple", 1)


def stored_elements(passes: Sequence[Pass], channels: Mapping[Keep, int]) -> float:
    """Return the most numbers that are stored at once, for each pixel of the image."""
    uses, most = last_uses(passes), 0.0
    alive: dict[Keep, float] = {}
    for number, one in enumerate(passes):
        ending = {keep for keep in one.reads if uses[keep] == number}
        if one.keep is not None:
            size = float(channels[one.keep] / one.step_out**2)
            replaced = one.in_place and any(alive[keep] == size for keep in ending)
            most = max(most, sum(alive.values()) + (0.0 if replaced else size))
            alive[one.keep] = size
        alive = {keep: size for keep, size in alive.items() if keep not in ending}
    return most


def largest_tile(
    needs: Needs, margin: int, multiple: int, budget: int, per_row: float, size: tuple[int, int]
) -> int | None:
    """Return the side of the largest tiles that fit into a budget of bytes; None when the smallest do not.

    Args:
        per_row: bytes that each further row of a tile costs besides, such as of finished pixels before they are
            written.
    """
    tile = -(-min(_LARGEST, max(size)) // multiple) * multiple
    while tile_memory(needs, tile, margin, per_row, size) > budget:
        if tile <= max(_SMALLEST, multiple):
            return None
        tile = max(multiple, -(-tile // 2) // multiple * multiple)
    return tile


def tile_memory(needs: Needs, tile: int, margin: int, per_row: float, size: tuple[int, int]) -> int:
    """Return the bytes that one tile with its margin takes."""
    height, width = (min(tile + 2 * margin, side) for side in size)
    return int(needs.computed * height * width + per_row * min(tile, size[0]))


def tiles_at_once(needs: Needs, tile: int, margin: int, budget: int) -> int:
    """Return how many tiles an accelerator computes at once."""
    return max(1, min(_MOST_AT_ONCE, int(budget / (needs.computed * (tile + 2 * margin) ** 2))))


def refusal(
    network: Any, height: int, width: int, needed: float, budget: int, way: str, least: int | None = None
) -> UserError:
    """Return the error for an image that fits in no way.

    Args:
        least: the ``--max_memory`` that would do, where one was given.
    """
    while isinstance(inner := getattr(network, "network", None), nn.Module):
        network = inner
    kind = type(network).__name__
    there = f"{human(needed)} of memory, and {human(budget)} are free or allowed by --max_memory"
    if least is not None:
        there += f", which would have to be {human(least)} with what the program itself takes"
    if way == "whole":
        return UserError(
            f"{width}x{height} pixels need about {there}: {kind} sees the whole image at once and cannot be cut into "
            f"tiles; use a smaller image, or a machine with more memory"
        )
    return UserError(f"{width}x{height} pixels: the smallest tile of {kind} needs about {there}")
