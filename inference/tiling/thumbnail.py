"""A small version of a large image, and what a network makes of it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference.padding import pad
from inference.tiling.boxes import grid
from inference.tiling.sources import Source
from inference.tiling.statistics import Affine, Moments
from models.networks.stages import Join, Keep, Stage

_ENOUGH = 64  # pixels; fewer say too little of the spread of a channel


def thumbnail(source: Source, side: int, size_multiple: int) -> Tensor:
    """Return (1,C,h,w), the image averaged down so that neither side is much longer than ``side`` pixels.

    Its sides are mirrored to multiples of ``size_multiple``, and to at least 16 pixels.
    """
    frame = source.frame
    factor = max(1, -(-max(frame.height, frame.width) // side))
    step = factor * max(1, 512 // factor)
    rows = []
    for top in range(0, frame.height, step):
        boxes = [box for box in grid(frame, step) if box.top == top]
        rows.append(torch.cat([F.avg_pool2d(source.read(box), factor, ceil_mode=True) for box in boxes], 3))
    small = torch.cat(rows, 2)
    return pad(small, size_multiple)


def packings(stages: Iterable[Stage], small: Tensor) -> dict[Keep, tuple[Affine, Affine]]:
    """Return, for every stored tensor, the map that brings its channels near mean 0 and deviation 1, and the inverse.

    What differs from pixel to pixel then gets all the digits that float16 has.
    """
    kept: dict[Keep, Tensor] = {}
    found: dict[Keep, tuple[Affine, Affine]] = {}
    for stage in stages:
        if isinstance(stage, Keep):
            kept[stage] = small.clone()
            found[stage] = _packing(small.float())
        else:
            small = stage(kept[stage.kept], small) if isinstance(stage, Join) else stage(small)
    return found


def _packing(x: Tensor) -> tuple[Affine, Affine]:
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    few = x.shape[2] * x.shape[3] < _ENOUGH  # deep in a U-Net a thumbnail is a pixel: all channels together then
    spread = x.std(correction=0).expand_as(variance) if few else variance.sqrt()
    spread = torch.maximum(spread, 0.1 * spread.mean() + 1e-3 * mean.abs()).clamp_min(1e-6)  # a channel may be flat
    return Affine(1 / spread, -mean / spread), Affine(spread, mean)


def norms_of(network: nn.Module, norms: Iterable[nn.Module], small: Tensor) -> dict[nn.Module, Affine]:
    """Return what each norm does to the pixels of a small image, so that it can be done to those of a large one."""
    moments = {norm: Moments() for norm in norms}
    hooks = [norm.register_forward_pre_hook(lambda layer, inputs: moments[layer].add(inputs[0])) for norm in moments]
    try:
        network(small)
    finally:
        for hook in hooks:
            hook.remove()
    return {norm: moment.affine(norm, small.device) for norm, moment in moments.items()}
