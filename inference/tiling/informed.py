"""Networks that see more than the image: whole images get what training gave to patches.

What belongs to each pixel - other normalizations, places - is made box by box, so that tiles see what the whole image
sees. A context belongs to a patch: then the image is translated in patches of the size that was trained on, whatever
memory there is, and they are blended where they overlap.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from data.inputs import Facts, Inputs
from data.transforms import Box as DataBox
from data.transforms import Geometry
from inference.padding import padded_side
from inference.tiling.boxes import Box
from inference.tiling.local import Tile
from inference.tiling.sources import Padded, Source, TensorSource
from models.base import TranslationModel

if TYPE_CHECKING:
    from inference.tiling.runner import Runner

_OVERLAP = 2  # neighbouring patches share at least this part of their side: at a quarter, spots showed at corners


def wants_more(network: Any, channels: int) -> bool:
    """Return whether a network sees more than an image of so many channels, which is all there is."""
    inputs: Inputs | None = getattr(network, "inputs", None)
    return inputs is not None and inputs.image_nc == channels


def padding_multiple(model: TranslationModel, channels: int) -> int:
    """Return what the sides of a method's images have to divide by, where these have so many channels.

    Whole images that get more channels are padded behind that: what is mirrored lies at no place of theirs.
    """
    more = any(wants_more(network, channels) for network in model.networks().values())
    return 1 if more else model.size_multiple


def image_alone(model: TranslationModel, label: str, image: Tensor) -> Tensor:
    """Return one of a method's images without what the network sees beside it, as samples of a training have it."""
    found = (getattr(network, "inputs", None) for network in model.networks().values())
    inputs: Inputs | None = next((each for each in found if each is not None), None)
    shown = inputs is not None and model.visuals.get(label) == "A" and image.shape[1] == inputs.channels
    return image[:, : inputs.image_nc] if inputs is not None and shown else image


def seen_by(network: Any, image: Tensor) -> Tensor:
    """Return what a network sees of a whole image (1,C,H,W), or where it sees patches of the one in the middle."""
    if not wants_more(network, image.shape[1]):
        return image
    height, width = image.shape[-2:]
    side = network.inputs.context
    source = Padded(TensorSource(image), max(height, side), max(width, side))
    top, left = ((size - side) // 2 for size in (source.frame.height, source.frame.width))
    box = Box(top, left, top + side, left + side) if side else source.frame
    return Informed(source, network.inputs).read(box)


class Informed:
    """A source with the channels that a network sees beside the image; with a context a box must be a patch.

    Args:
        source: the whole image.
    """

    def __init__(self, source: Source, inputs: Inputs) -> None:
        self.source, self.inputs = source, inputs
        self.frame, self.channels = source.frame, inputs.channels
        self._size = (self.frame.height, self.frame.width)
        self._facts: Facts = inputs.facts(self._pixels, self._size)

    def read(self, box: Box) -> Tensor:
        """Return a part of it."""
        geometry = Geometry(box=(box.top, box.left, box.height, box.width))
        return self.inputs.extend(self._pixels, self._size, self._facts, geometry)[None]

    def _pixels(self, box: DataBox) -> Tensor:
        top, left, height, width = box
        return self.source.read(Box(top, left, top + height, left + width))[0].cpu()


def informed_tiles(runner: Runner, network: Any, source: Source, per_row: float) -> Iterator[Tile]:
    """Yield (box of the output, (1,C,h,w) on the CPU) row by row, of an image alone.

    Args:
        per_row: as :meth:`Runner.plan` takes it.
    """
    if network.inputs.context:
        yield from _patches(runner, network, source)
        return
    frame, multiple = source.frame, network.size_multiple
    sides = (padded_side(side, multiple) for side in (frame.height, frame.width))
    for box, values in runner.through(network, Padded(Informed(source, network.inputs), *sides), per_row):
        inside = Box(box.top, box.left, min(box.bottom, frame.bottom), min(box.right, frame.right))
        if inside.height > 0 and inside.width > 0:
            yield inside, values[..., : inside.height, : inside.width]


def _patches(runner: Runner, network: Any, source: Source) -> Iterator[Tile]:
    """Yield rows of the image, as wide as it is, that no further patch overlaps."""
    side, frame = network.inputs.context, source.frame
    large = Padded(source, max(side, frame.height), max(side, frame.width))
    patches = Informed(large, network.inputs)
    tops, lefts = (starts(size, side) for size in (large.frame.height, large.frame.width))
    weight = ramp(side)[:, None] * ramp(side)
    pending: tuple[Tensor, Tensor] | None = None
    for top, following in itertools.pairwise([*tops, large.frame.height]):
        total, weights = _row(runner, network, patches, top, lefts, weight)
        if pending is not None:
            rows = pending[0].shape[-2]
            total[..., :rows, :] += pending[0]
            weights[..., :rows, :] += pending[1]
        done = following - top
        bottom = min(following, frame.bottom)
        if bottom > top:
            finished = total[..., : bottom - top, :] / weights[..., : bottom - top, :]
            yield Box(top, 0, bottom, frame.width), finished[..., : frame.width]
        pending = total[..., done:, :], weights[..., done:, :]


def _row(
    runner: Runner, network: Any, patches: Informed, top: int, lefts: list[int], weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of the patches of one row, (1,C,side,W), and of their weights, (1,1,side,W)."""
    side, width = len(weight), patches.frame.width
    total, weights = torch.zeros(1, 1, side, width), torch.zeros(1, 1, side, width)
    for left in lefts:
        patch = patches.read(Box(top, left, top + side, left + side)).to(runner.device)
        result = runner.whole(network, patch).float().cpu()
        if total.shape[1] != result.shape[1]:
            total = total.expand(-1, result.shape[1], -1, -1).clone()
        total[..., left : left + side] += result * weight
        weights[..., left : left + side] += weight
    return total, weights


def starts(size: int, side: int) -> list[int]:
    """Return where the fewest evenly spaced patches begin that cover ``size`` pixels and overlap enough."""
    if size <= side:
        return [0]
    count = -(-(size - side) // (side - side // _OVERLAP)) + 1
    return [round(number * (size - side) / (count - 1)) for number in range(count)]


def ramp(side: int) -> Tensor:
    """Return the weight of each row of a patch, which rises from its border to the overlap's end."""
    rise = max(1, side // _OVERLAP)
    distance = torch.minimum(torch.arange(side), torch.arange(side).flip(0)) + 1.0
    return (distance / (rise + 1)).clamp_max(1)
