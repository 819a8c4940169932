"""Networks with image-wide norms, exactly: layer by layer over all tiles.

Each norm's statistics are merged from the tiles of the layer before it, and only then does any tile go on. What lies
between is stored where the network's ``stages()`` say so, and computed again elsewhere.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from inference.tiling.boxes import Box, alike, grid
from inference.tiling.local import Tile, cut
from inference.tiling.passes import Pass, last_uses, make_passes
from inference.tiling.scratch import Scratch
from inference.tiling.sources import Source
from inference.tiling.statistics import Affine, Moments
from inference.tiling.thumbnail import packings, thumbnail
from models.networks.stages import Join, Keep, Stage
from util.errors import UserError

_PROBE = 128  # pixels; side of the small image that tells how large the stored values are
NUMPY_NAMES = {"fp16": "float16", "fp32": "float32"}


class Store:
    """A stored tensor and the image pixels that one of its own spans.

    Args:
        packing: how values are stored, and the way back.
    """

    def __init__(self, scratch: Scratch, step: Fraction, packing: tuple[Affine, Affine]) -> None:
        self.scratch, self.step = scratch, step
        self.pack, self.unpack = packing

    def read(self, box: Box) -> Tensor:
        """Return (1,C,h,w) float32 within a box of the image."""
        values = torch.from_numpy(self.scratch.read(box.scaled(1 / self.step)))
        return self.unpack(values.permute(2, 0, 1)[None].to(self.pack.scale.device).float().contiguous())

    def write(self, box: Box, x: Tensor) -> Tensor:
        """Store (1,C,h,w) at a box of the image and return it as it is read; UserError when float16 cannot hold it."""
        wide = self.pack(x.float())[0].permute(1, 2, 0)
        packed = wide.to(torch.float16 if self.scratch.dtype == np.float16 else torch.float32)
        if not packed.isfinite().all() and x.isfinite().all():
            raise UserError("--tile_scratch fp16 cannot hold this network's values; use --tile_scratch fp32")
        self.scratch.write(box.scaled(1 / self.step), packed.contiguous().cpu().numpy())
        return self.unpack(packed.permute(2, 0, 1)[None].float())


class LayeredRun:
    """One image through one network.

    Args:
        stages: of the network, in inference mode.
        tile: side of the tiles, a multiple of the network's ``size_multiple``, as the image's sides are.
        precision: of what is stored, "fp16" or "fp32".
        folder: of the scratch files; None keeps everything in memory.
        batch: tiles of the same size that are computed at once.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        source: Source,
        tile: int,
        size_multiple: int,
        *,
        device: torch.device,
        precision: str = "fp32",
        folder: pathlib.Path | None = None,
        batch: int = 1,
    ) -> None:
        self.passes, self.source, self.tile, self.device = make_passes(stages), source, tile, device
        self.dtype, self.folder, self.batch = NUMPY_NAMES[precision], folder, batch
        self.packings = packings(stages, thumbnail(source, _PROBE, size_multiple).to(device))
        self.stores: dict[Keep, Store] = {}
        self.norms: dict[nn.Module, Affine] = {}

    def tiles(self) -> Iterator[Tile]:
        """Yield (box of the output, (1,C,h,w) on the CPU) row by row."""
        uses = last_uses(self.passes)
        try:
            for number, one in enumerate(self.passes[:-1]):
                self._sweep(one, {keep for keep in one.reads if uses[keep] == number})
            yield from self._last(self.passes[-1])
        finally:
            for store in self.stores.values():
                store.scratch.close()

    def _sweep(self, one: Pass, ending: set[Keep]) -> None:
        """Store the result of a pass and gather its statistics; drop what no later pass reads.

        They are those of the stored values: what rounding moves in a flat map, every norm would enlarge.
        """
        moments, replaced = Moments(), ending if one.in_place else set()
        for box, x in self._compute(one):
            if one.keep is not None:
                x = self._store(one, x.shape[1], replaced).write(box, x)
            if one.norm is not None:
                moments.add(x)
        if one.norm is not None:
            self.norms[one.norm] = moments.affine(one.norm, self.device)
        for keep in ending & self.stores.keys():
            scratch = self.stores.pop(keep).scratch
            if all(scratch is not store.scratch for store in self.stores.values()):
                scratch.close()

    def _last(self, one: Pass) -> Iterator[Tile]:
        for box, x in self._compute(one):
            yield box.scaled(1 / one.step_out), x.float().cpu()

    def _compute(self, one: Pass) -> Iterator[Tile]:
        """Yield every tile's box in the image and its result."""
        frame = self.source.frame
        for boxes in alike(grid(frame, self.tile), lambda box: box.grown(one.margin, frame), self.batch):
            regions = [box.grown(one.margin, frame) for box in boxes]
            results = self._run(one, regions)
            for box, region, x in zip(boxes, regions, results.split(1), strict=True):
                yield box, cut(x, box.within(region).scaled(1 / one.step_out))

    def _run(self, one: Pass, regions: Sequence[Box]) -> Tensor:
        x = self._read(one.source, regions)
        for stage in one.stages:
            if isinstance(stage, Join):
                x = stage(self._read(stage.kept, regions), x)
            elif isinstance(stage, nn.Module):
                x = self.norms[stage](x) if stage in self.norms else stage(x)
        return x

    def _read(self, keep: Keep | None, regions: Sequence[Box]) -> Tensor:
        source = self.source if keep is None else self.stores[keep]
        return torch.cat([source.read(region) for region in regions]).to(self.device)

    def _store(self, one: Pass, channels: int, replaced: set[Keep]) -> Store:
        """Return the place of a pass's result: that of a tensor read for the last time where pixels do not mix."""
        assert one.keep is not None
        if one.keep not in self.stores:
            old = next((keep for keep in replaced if self.stores[keep].scratch.channels == channels), None)
            size = self.source.frame.scaled(1 / one.step_out)
            place = (size.height, size.width, channels, self.dtype, self.folder)
            scratch = self.stores[old].scratch if old else Scratch(*place)
            self.stores[one.keep] = Store(scratch, one.step_out, self.packings[one.keep])
        return self.stores[one.keep]
