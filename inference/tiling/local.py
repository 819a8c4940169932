"""Networks without image-wide statistics: each tile with a margin, the margin cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from inference.tiling.boxes import Box, alike, grid
from inference.tiling.sources import Source

Tile = tuple[Box, Tensor]


def run_local(
    network: Callable[[Tensor], Tensor],
    source: Source,
    tile: int,
    margin: int,
    *,
    scale: int = 1,
    batch: int = 1,
    device: torch.device | None = None,
) -> Iterator[Tile]:
    """Yield (box of the output, (1,C,h,w) on the CPU) row by row; the same bits as from the whole image.

    Args:
        network: (N,C,H,W) -> (N,c,scale*H,scale*W).
        tile: side of the tiles, a multiple of the network's size_multiple, as the image's sides are.
        margin: at least the network's receptive field, and such a multiple too.
    """
    frame = source.frame
    for boxes in alike(grid(frame, tile), lambda box: box.grown(margin, frame), batch):
        regions = [box.grown(margin, frame) for box in boxes]
        outputs = network(torch.cat([source.read(region) for region in regions]).to(device))
        for box, region, output in zip(boxes, regions, outputs.split(1), strict=True):
            yield box.scaled(scale), cut(output, box.within(region).scaled(scale)).float().cpu()


def cut(x: Tensor, box: Box) -> Tensor:
    """Return the part of (N,C,H,W) within a box."""
    return x[..., box.top : box.bottom, box.left : box.right]


def margin_for(receptive_field: int, size_multiple: int) -> int:
    """Return the margin of a tile: the receptive field, rounded up to what the network's strides ask for."""
    return -(-receptive_field // size_multiple) * size_multiple


def assemble(tiles: Iterator[Tile], height: int, width: int) -> Tensor:
    """Return (1,C,height,width) from all its tiles."""
    whole: Tensor | None = None
    for box, values in tiles:
        if whole is None:
            whole = values.new_empty(1, values.shape[1], height, width)
        cut(whole, box).copy_(values)
    assert whole is not None
    return whole
