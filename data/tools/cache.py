"""``prepare.py cache``: decode and resize a data set before the training, with all processors.

Give the data flags of the training. It then finds every image in the cache, in its first epoch too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from data import DATASETS
from data.common import CommonDataOptions, LoaderOptions
from data.tools.flags import add_options, read_options
from util.errors import UserError

if TYPE_CHECKING:
    from data.cache import ImageCache

_NO_MATTER = (
    *("seed", "no_flip", "flip_vertical", "rot90", "serial_batches", "preview_bands"),
    *("context", "coordinates", "input_norms"),
)
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags: those of the data sets."""
    parser.add_argument("--dataset_mode", default="aligned", choices=DATASETS.names(), help="kind of data set")
    add_options(parser, CommonDataOptions, leave_out=_NO_MATTER)
    for mode in DATASETS.names():
        add_options(parser, DATASETS.options(mode))
    add_options(parser, LoaderOptions, leave_out=("batch_size",))


def run(args: argparse.Namespace) -> int:
    """Fill the cache; return 1 when some files cannot be read. UserError where there is no cache to fill."""
    from data.cache import open_cache

    preset = DATASETS.entry(args.dataset_mode).preset
    common = read_options(args, CommonDataOptions, preset)
    cache = open_cache(common)
    if cache is None:
        raise UserError(f"--cache {common.cache}: there is no cache to fill; name a folder")
    own: Any = read_options(args, DATASETS.options(args.dataset_mode), preset)
    dataset = DATASETS.get(args.dataset_mode)(own, common, train=True)
    errors = prepare_all(dataset.preparations(), args.num_threads)
    for error in errors[:_SHOWN]:
        print(f"skipped: {error}")
    print(_summary(cache, common, len(errors)))
    return 1 if errors else 0


def prepare_all(preparations: Sequence[Callable[[], Any]], workers: int) -> list[str]:
    """Run all calls in parallel under a progress bar; return the messages of those that failed."""
    from torch.utils.data import DataLoader
    from tqdm import tqdm

    from data.loader import as_it_is, processors

    loader: DataLoader[str] = DataLoader(
        _Calls(preparations),  # type: ignore[arg-type]  # whatever can be indexed will do
        batch_size=None,
        num_workers=min(workers, processors()),
        collate_fn=as_it_is,
    )
    return [error for error in tqdm(loader, unit="image", dynamic_ncols=True, disable=None) if error]


class _Calls:
    def __init__(self, calls: Sequence[Callable[[], Any]]) -> None:
        self._calls = calls

    def __len__(self) -> int:
        return len(self._calls)

    def __getitem__(self, index: int) -> str:
        try:
            self._calls[index]()
        except UserError as error:
            return str(error)
        return ""


def _summary(cache: ImageCache, common: CommonDataOptions, failed: int) -> str:
    bad = f"; {failed} image(s) cannot be read" if failed else ""
    return f"{cache.folder} holds {cache.room.used() / 1e9:.2f} of {common.cache_limit:g} GB{bad}"
