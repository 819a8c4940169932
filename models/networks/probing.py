"""How far a network looks, found by trying: for networks whose code is not ours."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_SIDES = (96, 256)  # pixels of the images tried, one after the other
_SAME = 1e-4

Run = Callable[[Tensor], Tensor]


@torch.no_grad()
def probe_reach(run: Run, channels: int, multiple: int = 1) -> int | None:
    """Return by how many pixels of its input an output pixel may lie away from what it depends on.

    A pixel that is not a number makes all that depends on it not a number, whatever the weights. None where that
    reaches the border of the largest image tried, so that the network may see any image as a whole; and where an
    image moved by ``multiple`` pixels does not give the result moved so, as with attention in windows.

    Args:
        run: (1,C,H,W) -> (1,C',scale*H,scale*W), for sides that divide by ``multiple``.
        channels: C.
    """
    for side in _SIDES:
        size = -(-side // multiple) * multiple
        middle = size // 2 // multiple * multiple
        reaches = [_reach(run, channels, size, place) for place in {middle, middle + multiple - 1}]
        reach = max(reaches)
        if reach < middle - multiple:
            return reach if _moves_along(run, channels, size, multiple, reach) else None
    return None


def _reach(run: Run, channels: int, size: int, place: int) -> int:
    """Return how far from ``place`` on the diagonal the output depends on it."""
    image = torch.full((1, channels, size, size), 0.5)
    image[..., place, place] = torch.nan
    touched = run(image).isnan().any(1)[0]
    scale = len(touched) // size
    rows, columns = (touched.any(side).nonzero().flatten() // scale for side in (1, 0))
    return int(max((places - place).abs().max() for places in (rows, columns)))


def _moves_along(run: Run, channels: int, size: int, multiple: int, reach: int) -> bool:
    """Return whether the result moves with the image, away from the borders."""
    image = torch.rand(1, channels, size + multiple, size + multiple, generator=torch.Generator().manual_seed(0))
    first, second = run(image[..., :size, :size]), run(image[..., multiple:, multiple:])
    scale = first.shape[-1] // size
    inner, step = slice((reach + multiple) * scale, (size - reach - multiple) * scale), multiple * scale
    moved = slice(inner.start - step, inner.stop - step)
    return torch.allclose(first[..., inner, inner], second[..., moved, moved], atol=_SAME, rtol=_SAME)
