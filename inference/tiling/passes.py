"""A generator's list of stages -> passes over the tiles, and what each pass has to read and to store.

A pass goes from a stored tensor (or the image) to the next place where something is stored, or where the statistics
of a norm are needed. Coordinates are in pixels of the image throughout; ``step`` is how many of them one pixel of a
tensor spans, so 4 at a quarter of the resolution and 1/2 after an enlargement by 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from torch import nn

from models.networks.norms import InstanceNorm2d
from models.networks.stages import Join, Keep, Stage, averages_over_the_image

_POINTWISE = (
    *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.GELU, nn.SiLU, nn.ELU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Hardswish),
    *(nn.Dropout, nn.Dropout2d, nn.modules.batchnorm._BatchNorm, nn.InstanceNorm2d, InstanceNorm2d),
)
_PADS = (nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ZeroPad2d)


@dataclass(frozen=True)
class Pass:
    """One sweep over all tiles.

    Args:
        source: what is read; None for the image.
        stages: layers and joins to run on it.
        norm: the norm whose statistics the result gives.
        keep: where the result is stored; None for a pass for statistics alone, and for the last one.
        step_in: image pixels that one pixel of the source spans, across and down.
        step_out: the same of the result.
        margin: image pixels that a tile needs around it.
    """

    source: Keep | None
    stages: tuple[Stage, ...]
    norm: nn.Module | None
    keep: Keep | None
    step_in: Fraction
    step_out: Fraction
    margin: int

    @property
    def reads(self) -> set[Keep]:
        """Return the stored tensors it needs."""
        joined = {stage.kept for stage in self.stages if isinstance(stage, Join)}
        return joined | ({self.source} if self.source else set())

    @property
    def in_place(self) -> bool:
        """Return whether each result depends on the same pixel of what is read alone."""
        return self.margin == 0 and self.step_in == self.step_out


@dataclass
class _Walk:
    passes: list[Pass] = field(default_factory=list)
    source: Keep | None = None
    begin: Fraction = Fraction(1)
    stages: list[Stage] = field(default_factory=list)
    same: dict[Keep, Keep] = field(default_factory=dict)

    def close(self, norm: nn.Module | None = None, keep: Keep | None = None) -> None:
        step, margin = reach(self.stages, self.begin)
        self.passes.append(Pass(self.source, tuple(self.stages), norm, keep, self.begin, step, margin))
        if keep is not None:
            self.source, self.begin, self.stages = keep, step, []


def make_passes(stages: Sequence[Stage]) -> list[Pass]:
    """Cut a list of stages into passes; TypeError names a layer whose reach is unknown."""
    walk = _Walk()
    for position, stage in enumerate(stages):
        following = stages[position + 1] if position + 1 < len(stages) else None
        if isinstance(stage, Keep):
            norm = following if isinstance(following, nn.Module) and averages_over_the_image(following) else None
            _store(walk, stage, norm)
            continue
        before = stages[position - 1] if position else None
        if isinstance(stage, nn.Module) and averages_over_the_image(stage) and not isinstance(before, Keep):
            walk.close(norm=stage)
        walk.stages.append(_renamed(stage, walk.same))
    walk.close()
    return walk.passes


def _store(walk: _Walk, keep: Keep, norm: nn.Module | None) -> None:
    if walk.source is not None and not walk.stages and norm is None:
        walk.same[keep] = walk.source  # nothing happens between the two
    else:
        walk.close(norm, keep)


def _renamed(stage: Stage, same: dict[Keep, Keep]) -> Stage:
    if isinstance(stage, Join) and stage.kept in same:
        return Join(same[stage.kept], channels=stage.channels)
    return stage


def last_uses(passes: Sequence[Pass]) -> dict[Keep, int]:
    """Return the number of the pass after which a stored tensor is no longer needed."""
    return {keep: number for number, one in enumerate(passes) for keep in one.reads}


def reach(stages: Iterable[Stage], step: Fraction = Fraction(1)) -> tuple[Fraction, int]:
    """Return (image pixels that one pixel of the result spans, image pixels of margin needed around a tile).

    Args:
        step: image pixels that one pixel of the input spans.
    """
    margin, coarsest = Fraction(0), step
    for stage in stages:
        step, further = _layer(stage, step) if isinstance(stage, nn.Module) else (step, Fraction(0))
        margin, coarsest = margin + further, max(coarsest, step)
    unit = max(1, math.ceil(coarsest))
    return step, -(-math.ceil(margin) // unit) * unit


def _layer(layer: nn.Module, step: Fraction) -> tuple[Fraction, Fraction]:
    """Return the step after a layer, and by how many image pixels it looks beyond its own pixel."""
    if isinstance(layer, _POINTWISE + _PADS):  # a pad only makes room for its convolution
        return step, Fraction(0)
    if isinstance(layer, nn.ConvTranspose2d):
        kernel, stride, pad = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        return step / stride, step * max((stride - 1 + pad) // stride, (kernel - 1 - pad) // stride)
    if isinstance(layer, nn.Conv2d):
        wide, stride = layer.dilation[0] * (layer.kernel_size[0] - 1), layer.stride[0]
        return step * stride, step * max(wide // 2, wide - wide // 2 - (stride - 1))
    if isinstance(layer, nn.PixelShuffle):
        return step / layer.upscale_factor, Fraction(0)
    if isinstance(layer, nn.Upsample) and layer.mode == "nearest":
        return step / int(layer.scale_factor), Fraction(0)  # type: ignore[arg-type]  # made with a whole one
    if isinstance(layer, nn.Upsample) and layer.mode == "bilinear":
        return step / int(layer.scale_factor), step  # type: ignore[arg-type]
    if isinstance(layer, nn.PixelUnshuffle):
        return step * layer.downscale_factor, Fraction(0)
    if isinstance(layer, nn.AvgPool2d) and layer.kernel_size == layer.stride:
        return step * layer.kernel_size, Fraction(0)  # type: ignore[operator]
    raise TypeError(f"{type(layer).__name__}: unknown reach; add it to inference/tiling/passes.py to run it in tiles")
