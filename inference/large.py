"""Files too large for memory: read in parts, translated in tiles, written in parts."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from data.metadata import read_metadata
from data.readers import ImageInfo
from data.sample import fit_channels
from data.streams import read_blocks, write_blocks
from inference.brightness import network_values, painter_of, shown_channels
from inference.domain import Domain
from inference.ensemble import Member
from inference.holes import HoledImage, HoleSource
from inference.outputs import to_file_values
from inference.padding import padded_side
from inference.predictor import Predictor
from inference.tiling.boxes import Box, grid
from inference.tiling.informed import padding_multiple
from inference.tiling.local import Tile
from inference.tiling.memory import budget_of
from inference.tiling.scratch import Scratch
from inference.tiling.sources import Converted, Padded, ScratchSource, Source, Turned
from inference.tiling.symmetry import Symmetry
from util.device import arithmetic
from util.errors import UserError

Paint = Callable[[np.ndarray, int, int], np.ndarray]

_BAND = 512  # pixels; side of the parts of a finished average
_JUDGED = 512  # pixels; side of the part of an image by which its arithmetic is settled, if it is not yet
_ROWS = 128  # pixels; rows that are converted and compressed at once
_IN_MEMORY = 40  # bytes for each number of an image that is translated in memory: floats, copies, file values


def fits_in_memory(predictor: Predictor, info: ImageInfo, channels: tuple[int, int]) -> bool:
    """Return whether an image and its result can be held in memory beside what the network takes."""
    numbers = info.height * info.width * (channels[0] + channels[1] * predictor.scale**2)
    return _IN_MEMORY * numbers < budget_of(torch.device("cpu"), predictor.runner.limit).whole / 2


class LargeFile:
    """One file on its way through a model with one generator.

    Args:
        domains: of the source and the target.
        channels: of the network's input and output.
        luma: whether the network sees Y alone, and the result takes its colours from the file.
        holes: what finds the hole, where the model fills such; all other pixels stay as they are.
        mask: the file of the hole.
    """

    def __init__(
        self,
        predictor: Predictor,
        path: pathlib.Path,
        info: ImageInfo,
        domains: tuple[Domain, Domain],
        channels: tuple[int, int],
        *,
        luma: bool = False,
        holes: HoleSource | None = None,
        mask: pathlib.Path | None = None,
    ) -> None:
        if predictor.options.mc_dropout:
            raise UserError(f"{path}: --mc_dropout needs the whole image in memory; it is too large")
        if holes is not None and not all(getattr(each, "by_pixels", False) for each in predictor.models):
            raise UserError(f"{path}: {info.width}x{info.height} pixels are too many for this kind of run; cut it up")
        self.predictor, self.path, self.info, self.channels = predictor, path, info, channels
        self.holes, self.mask = holes, mask
        self.source, self.target = domains
        self.luma, self.shown = luma, shown_channels(info.channels) if luma else channels[1]
        self.height, self.width = (side * predictor.scale for side in (info.height, info.width))
        self.folder = predictor.runner.scratch_folder(self._temporary())

    def _temporary(self) -> int:
        """Return the bytes of temporary files: the decoded image, and results that are averaged."""
        pixel = self.info.channels * np.dtype(self.info.dtype).itemsize + (self.holes is not None)
        decoded = self.info.height * self.info.width * pixel
        groups = self.predictor.ensemble.groups
        averaged = len(groups) * len(groups[0]) * len(self.predictor.symmetries) > 1
        return decoded + averaged * len(groups) * 4 * self.height * self.width * self.channels[1]

    def translate(self, output: pathlib.Path) -> None:
        """Write the result, whole or not at all; UserError where the file is damaged or memory runs out."""
        shape, dtype = (self.height, self.width, self.shown), self.target.format.dtype
        metadata = read_metadata(self.path).enlarged(self.predictor.scale)
        with contextlib.closing(self._spooled()) as scratch:
            while True:
                try:
                    write_blocks(output, shape, dtype, self._rows(scratch), metadata)
                    return
                except (RuntimeError, MemoryError) as error:
                    self.predictor.retreat(error)

    def _spooled(self) -> Scratch | HoledImage:
        """Return the file's values, decoded, in a scratch file; with holes these behind them."""
        info = self.info
        scratch = Scratch(info.height, info.width, info.channels, info.dtype, self.folder)
        for top, left, values in read_blocks(self.path):
            scratch.write(Box(top, left, top + values.shape[0], left + values.shape[1]), values)
        return scratch if self.holes is None else HoledImage(scratch, self.holes, self.mask, self.folder)

    def _rows(self, scratch: Scratch | HoledImage) -> Iterator[np.ndarray]:
        """Yield the result's file values by blocks of rows."""
        image = ScratchSource(scratch, self._network_values, self.channels[0])
        top, left = (max(0, size // 2 - _JUDGED // 2) for size in (self.info.height, self.info.width))
        middle = Box(top, left, *_ends(Box(top, left, top + _JUDGED, left + _JUDGED), image.frame))
        self.predictor.settle([{"A": image.read(middle)}])
        paint = self._painter(scratch)
        band: np.ndarray | None = None
        begin = 0
        with contextlib.closing(self._averaged(image)) as tiles:
            for box, values in tiles:
                if band is None or box.top != begin:
                    yield from in_blocks(band)
                    band = np.empty((box.height, self.width, self.shown), self.target.format.dtype)
                    begin = box.top
                self._fill(band, box, values[0], paint)
        yield from in_blocks(band)

    def _network_values(self, values: np.ndarray) -> np.ndarray:
        if self.holes is None:
            return self.source.range.normalize(network_values(values, self.channels[0], self.path, luma=self.luma))
        known = fit_channels(values[..., :-1], self.channels[1], self.path, "output_nc")
        hole = values[..., -1:].astype(np.float32)
        return np.concatenate([self.source.range.normalize(known), 2 * hole - 1], 2)

    def _painter(self, scratch: Scratch | HoledImage) -> Paint | None:
        """Return what finishes the result: its colours, known pixels; None where the network gives it whole."""
        if self.holes is not None:
            return lambda part, top, left: self._with_known(part, scratch.read(_at(part, top, left)))
        if not self.luma or self.shown == 1:
            return None
        return painter_of((self.info.height, self.info.width), self.predictor.scale, scratch.read)

    def _with_known(self, part: np.ndarray, values: np.ndarray) -> np.ndarray:
        known = fit_channels(values[..., :-1], self.channels[1], self.path, "output_nc")
        return np.where(values[..., -1:] > 0, part, known) if part.dtype == known.dtype else part

    def _fill(self, band: np.ndarray, box: Box, values: Tensor, paint: Paint | None) -> None:
        """Put a tile's file values into the band, some rows at once: they take 8 bytes a number on their way."""
        for row in range(0, box.height, _ROWS):
            rows = slice(row, row + _ROWS)
            part = to_file_values(values[:, rows], self.target.range, self.target.format.dtype)
            band[rows, box.left : box.right] = paint(part, box.top + row, box.left) if paint else part

    def _averaged(self, image: Source) -> Generator[Tile, None, None]:
        """Yield the tiles of what models and symmetries give together."""
        predictor = self.predictor
        groups = [[(member, symmetry) for member in group for symmetry in predictor.symmetries]
                  for group in predictor.ensemble.groups]  # fmt: skip
        if len(groups) == len(groups[0]) == 1:
            yield from self._translated(image, *groups[0][0])
            return
        place = (self.height, self.width, self.channels[1], "float32", self.folder)
        with contextlib.ExitStack() as stack:
            means = [stack.enter_context(contextlib.closing(Scratch(*place))) for _ in groups]
            for mean, versions in zip(means, groups, strict=True):
                self._average(image, versions, mean)
            for box in grid(Box(0, 0, self.height, self.width), _BAND):
                parts = [torch.from_numpy(mean.read(box)).permute(2, 0, 1)[None] for mean in means]
                yield box, predictor.ensemble.joined(parts)

    def _average(self, image: Source, versions: Sequence[tuple[Member, Symmetry]], mean: Scratch) -> None:
        for number, version in enumerate(versions, start=1):
            for box, values in self._translated(image, *version):
                new = values[0].permute(1, 2, 0).numpy()
                old = mean.read(box) if number > 1 else new
                mean.write(box, old + (new - old) / number)

    def _translated(self, image: Source, member: Member, symmetry: Symmetry) -> Iterator[Tile]:
        itemsize = np.dtype(self.target.format.dtype).itemsize
        per_row = 4.0 * self.width * self.predictor.scale * self.shown * itemsize
        return one_sided(self.predictor, image, per_row, member, symmetry)


def in_blocks(band: np.ndarray | None) -> Iterator[np.ndarray]:
    """Yield a band of rows, if there is one, in parts small enough to be compressed by the way."""
    for row in range(0, 0 if band is None else len(band), _ROWS):
        assert band is not None
        yield band[row : row + _ROWS]


@torch.no_grad()
def one_sided(
    predictor: Predictor, image: Source, per_row: float, member: Member, symmetry: Symmetry
) -> Iterator[Tile]:
    """Yield (box of the result, (1,C,h,w)) from one generator and one turned version of the image.

    Boxes come row by row where the symmetry changes nothing.
    """
    (network,) = (predictor.original(network) for network in member.model.networks().values())
    prepared = Converted(Converted(image, member.taken), getattr(member.model, "network_input", lambda x: x))
    turned, multiple = Turned(prepared, symmetry), padding_multiple(member.model, prepared.channels)
    frame, scale = turned.frame, getattr(network, "scale", 1)
    padded = Padded(turned, padded_side(frame.height, multiple), padded_side(frame.width, multiple))
    size = image.frame.scaled(scale)
    with arithmetic(predictor.device, predictor.precision):
        for box, values in predictor.runner.through(network, padded, per_row):
            inside = Box(box.top, box.left, *_ends(box, frame.scaled(scale)))
            if inside.height > 0 and inside.width > 0:
                yield symmetry.box_back(inside, size), member.given(symmetry.back(_part(values, inside.within(box))))


def _at(part: np.ndarray, top: int, left: int) -> Box:
    return Box(top, left, top + part.shape[0], left + part.shape[1])


def _ends(box: Box, frame: Box) -> tuple[int, int]:
    return min(box.bottom, frame.bottom), min(box.right, frame.right)


def _part(values: Tensor, box: Box) -> Tensor:
    return values[..., box.top : box.bottom, box.left : box.right]
