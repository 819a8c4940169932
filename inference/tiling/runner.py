"""One place that knows how to get an image of any size through a network within the memory there is."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from inference.settings import InferenceOptions
from inference.tiling import plan as planning
from inference.tiling.informed import informed_tiles, wants_more
from inference.tiling.layered import NUMPY_NAMES, LayeredRun
from inference.tiling.local import Tile, assemble, run_local
from inference.tiling.memory import (
    Budget,
    budget_of,
    bytes_per_pixel,
    human,
    is_out_of_memory,
    least_limit,
    parse_memory,
    probe_side,
)
from inference.tiling.passes import make_passes
from inference.tiling.plan import Needs, Plan
from inference.tiling.sources import Source, TensorSource
from inference.tiling.thumbnail import norms_of, packings, thumbnail
from models.networks.stages import image_wide_norms
from util.errors import UserError

_SMALL = 1 << 20  # pixels; images whose results are smaller run whole unless a flag says otherwise
_THUMBNAIL = 512  # pixels; the side of the small image whose statistics a preview takes
_LAYERED = 1.6  # layer by layer takes more for each pixel: copies on the way to and from where they are stored
_MOST_SHRUNK = 64  # times
_LAST_RESORT = 64  # pixels; tiles are not made smaller than this


class Runner:
    """Runs networks whole or in tiles, and says once for every size how.

    Args:
        device: to begin on; where memory runs out although it was thought to suffice, tiles become smaller, and at
            last the CPU takes over.
    """

    def __init__(self, device: torch.device, options: InferenceOptions | None = None) -> None:
        self.device, self.options = device, options or InferenceOptions()
        self.limit = parse_memory(self.options.max_memory)
        self.shrink = 1
        self._needs: dict[nn.Module, Needs] = {}
        self._cuttable = True  # what was planned last
        self._said: set[str] = set()

    def plan(self, network: Any, channels: int, height: int, width: int, per_row: float = 0.0) -> Plan:
        """Settle how an image goes through.

        Args:
            per_row: bytes that the caller keeps for each row of a tile.

        Raises:
            UserError: it fits in no way.
            torch.OutOfMemoryError: not on this accelerator.
        """
        way = planning.way_of(network, self.options.tile_stats)
        self._cuttable = way != "whole" and not self.options.mc_dropout
        wanted, limited = self.options.tile_size, self.limit is not None or self.shrink > 1
        if height * width * getattr(network, "scale", 1) ** 2 <= _SMALL and not wanted and not limited:
            return Plan("whole")
        needs, budget = self._needs_of(network, channels), budget_of(self.device, self.limit)
        whole = int(needs.computed * height * width + per_row * height)
        asked = bool(wanted) and max(height, width) > wanted and way != "whole"
        room = budget.most if way == "whole" else budget.whole
        if whole <= room and self.shrink == 1 and not asked:
            return Plan("whole", memory=whole)
        if way == "whole":
            raise self._refusal(network, (height, width), whole, room, way)
        return self._tiled(network, way, needs, budget, (height, width), per_row)

    def _tiled(
        self, network: Any, way: str, needs: Needs, room: Budget, size: tuple[int, int], per_row: float
    ) -> Plan:
        multiple, margin = planning.size_multiple_of(network), planning.margin_of(network, way)
        if way == "layered":
            needs = Needs(_LAYERED * needs.computed, needs.stored)
        wanted = -(-self.options.tile_size // multiple) * multiple
        smallest = planning.tile_memory(needs, max(_LAST_RESORT, multiple), margin, per_row, size)
        budget = room.tiles if smallest <= room.tiles else room.most
        tile = wanted or planning.largest_tile(needs, margin, multiple, budget, per_row, size)
        if tile is None:
            raise self._refusal(network, size, smallest, budget, way)
        tile = max(multiple, min(tile, _LAST_RESORT), tile // self.shrink // multiple * multiple)
        memory = planning.tile_memory(needs, tile, margin, per_row, size)
        batch = planning.tiles_at_once(needs, tile, margin, budget) if self.device.type != "cpu" else 1
        scratch = int(needs.stored * size[0] * size[1]) if way == "layered" else 0
        in_memory = scratch <= (budget - memory) // 2 and self.device.type == "cpu"
        folder = None if in_memory or not scratch else self.scratch_folder(scratch)
        return Plan(way, tile, margin, batch, memory + (scratch if in_memory else 0), scratch, folder)

    def _refusal(self, network: Any, size: tuple[int, int], needed: int, room: int, way: str) -> Exception:
        """Return what to raise where memory is short: on an accelerator what lets the CPU take over."""
        if self.device.type != "cpu":
            return torch.OutOfMemoryError(f"{human(needed)} of memory are needed, and {human(room)} are free")
        least = None if self.limit is None else least_limit(self.device, needed)
        return planning.refusal(network, *size, needed, room, way, least)

    def scratch_folder(self, needed: int) -> pathlib.Path:
        """Return where temporary files go; UserError where so many bytes do not fit."""
        folder = pathlib.Path(self.options.scratch_dir or tempfile.gettempdir())
        if not folder.is_dir():
            raise UserError(f"--scratch_dir {folder}: no such folder")
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise UserError(f"--scratch_dir {folder}: {human(needed)} are needed and {human(free)} are free")
        return folder

    def _needs_of(self, network: Any, channels: int) -> Needs:
        if network not in self._needs:
            self._needs[network] = self._measure(network, channels)
        return self._needs[network]

    @torch.no_grad()
    def _measure(self, network: Any, channels: int) -> Needs:
        side = probe_side(planning.size_multiple_of(network))
        computed = bytes_per_pixel(network, channels, side, self.device)
        if not hasattr(network, "stages"):
            return Needs(computed)
        stages = network.stages()
        small = torch.zeros(1, channels, side, side, device=self.device)
        sizes = {keep: pack.scale.shape[1] for keep, (pack, _) in packings(stages, small).items()}
        element = torch.finfo(getattr(torch, NUMPY_NAMES[self.options.tile_scratch])).bits // 8
        return Needs(computed, element * planning.stored_elements(make_passes(stages), sizes))

    def announce(self, plan: Plan, height: int, width: int) -> None:
        """Print a plan once."""
        line = plan.describe(height, width)
        if plan.memory and line not in self._said:
            self._said.add(line)
            print(line, file=sys.stderr)

    def tiles(self, network: Any, source: Source, plan: Plan) -> Iterator[Tile]:
        """Yield (box of the output, (1,C,h,w) on the CPU) row by row; the whole image is one tile."""
        frame, scale = source.frame, getattr(network, "scale", 1)
        if plan.way == "layered":
            multiple = planning.size_multiple_of(network)
            yield from LayeredRun(
                network.stages(), source, plan.tile, multiple,
                device=self.device, precision=self.options.tile_scratch, folder=plan.folder, batch=plan.batch,
            ).tiles()  # fmt: skip
            return
        tile = plan.tile or max(frame.height, frame.width)
        preview = plan.way == "preview"
        with self._preview(network, source) if preview else contextlib.nullcontext():
            compute = network if preview else fast(network)  # an engine knows nothing of norms that are replaced
            yield from run_local(compute, source, tile, plan.margin, scale=scale, batch=plan.batch, device=self.device)

    @contextlib.contextmanager
    def _preview(self, network: Any, source: Source) -> Iterator[None]:
        """Let the image-wide norms do to every tile what they do to a thumbnail."""
        small = thumbnail(source, _THUMBNAIL, planning.size_multiple_of(network)).to(self.device)
        fixed = norms_of(network, image_wide_norms(network), small)
        with contextlib.ExitStack() as stack:
            for norm, affine in fixed.items():
                stack.enter_context(replaced_forward(norm, affine))
            yield

    def through(self, network: Any, source: Source, per_row: float = 0.0) -> Iterator[Tile]:
        """Yield (box of the output, (1,C,h,w) on the CPU) row by row, in the way that suits the image; say which.

        Args:
            per_row: bytes that the caller keeps for each row of a tile.
        """
        if wants_more(network, source.channels):
            yield from informed_tiles(self, network, source, per_row)
            return
        height, width = source.frame.height, source.frame.width
        plan = self.plan(network, source.channels, height, width, per_row)
        self.announce(plan, height, width)
        yield from self.tiles(network, source, plan)

    def whole(self, network: Any, images: Tensor) -> Tensor:
        """Return the network's output for (N,C,H,W) at once."""
        return fast(network)(images)

    def run(self, network: Any, images: Tensor) -> Tensor:
        """Return the network's output for (N,C,H,W), whole or in tiles, on the device of the images."""
        height, width = images.shape[-2:]
        if wants_more(network, images.shape[1]):
            parts = [self.through(network, TensorSource(image)) for image in images.split(1)]
            return torch.cat([assemble(part, height, width) for part in parts]).to(images.device)
        plan = self.plan(network, images.shape[1], height, width)
        if plan.way == "whole":
            return self.whole(network, images)
        if self.options.mc_dropout:
            raise UserError(f"--mc_dropout: {width}x{height} pixels do not fit whole, and tiles would drop differently")
        self.announce(plan, height, width)
        scale = getattr(network, "scale", 1)
        results = [
            assemble(self.tiles(network, TensorSource(image), plan), height * scale, width * scale)
            for image in images.cpu().split(1)
        ]
        return torch.cat(results).to(images.device)

    def retreat(self, error: BaseException) -> bool:
        """Take less memory from now on, after an error; return False when there is nothing left to try."""
        if not is_out_of_memory(error):
            return False
        on_cpu = self.device.type == "cpu"
        if self.shrink < _MOST_SHRUNK and (self._cuttable or on_cpu):  # what cannot be cut is then refused in words
            self.shrink *= 2
            step = "smaller tiles"
        elif not on_cpu:
            self.device, self.shrink, step = torch.device("cpu"), 1, "the CPU"
        else:
            return False
        if step not in self._said and (self._cuttable or step == "the CPU"):
            self._said.add(step)
            print(f"out of memory: going on with {step}", file=sys.stderr)
        return True


@contextlib.contextmanager
def replaced_forward(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[Callable[[Tensor], Tensor]]:
    """Let a module do something else inside the block; yields what it did."""
    original = module.forward
    module.forward = forward  # type: ignore[method-assign]
    try:
        yield original
    finally:
        del module.forward


@dataclasses.dataclass(frozen=True)
class Original:
    """A network whose ``forward`` is replaced for now: calls the one it was built with, has all else of it.

    ``engine`` computes the same faster; the network itself is for what has to look into it.
    """

    network: nn.Module
    forward: Callable[[Tensor], Tensor]
    engine: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return what the network itself returns."""
        return self.forward(x)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def fast(network: Any) -> Callable[[Tensor], Tensor]:
    """Return what computes a network fastest: its engine, where it has one."""
    return network.engine if isinstance(network, Original) and network.engine is not None else network
