"""How fast images are loaded: a textbook loader and ours, in turn, in one process with one thread.

python -m benchmarks.data [--write]

Both load the same generated images in batches of 4: pairs of 256x256 side by side in PNG, resized to 286 and cropped to
256, and crops of 256 from images of 8 megapixels. Time is that of the processor, so other work on the machine disturbs
it little, and files are in memory after the first round, which is not counted.
"""

from __future__ import annotations

import argparse
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader

from benchmarks.page import machine, publish, table
from benchmarks.textbook_loader import TextbookCrops, TextbookPairs
from data import DATASETS
from data.common import CommonDataOptions, LoaderOptions
from data.loader import EpochLoader

BATCH = 4
Batches = Callable[[int], Iterable[Any]]


@dataclass(frozen=True)
class Sizes:
    """How much is loaded: pairs; large images, their height and width; rounds, and seconds of each loader's turn."""

    pairs: int = 48
    large: int = 6
    height: int = 2448
    width: int = 3264
    rounds: int = 7
    seconds: float = 0.6


def photograph(random: np.random.Generator, height: int, width: int) -> Image.Image:
    """Return a picture whose detail falls off with frequency as in photographs, with a little noise, as RGB."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falloff = 1.0 / np.maximum(np.hypot(rows, columns), 1.0 / width) ** 1.1
    planes = []
    for _ in range(3):
        waves = falloff * np.exp(2j * np.pi * random.random(falloff.shape))
        plane = np.fft.irfft2(waves, (height, width))
        planes.append(128 + 50 * plane / plane.std() + random.normal(0, 2, plane.shape))
    return Image.fromarray(np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8))


def make_images(root: pathlib.Path, sizes: Sizes) -> None:
    """Write ``pairs/train/*.png``, ``png/*.png`` and ``jpeg/*.jpg`` (quality 90) below ``root``."""
    random = np.random.default_rng(0)
    for folder in ("pairs/train", "png", "jpeg"):
        (root / folder).mkdir(parents=True)
    for number in range(sizes.pairs):
        photograph(random, 256, 512).save(root / f"pairs/train/{number:03}.png")
    for number in range(sizes.large):
        picture = photograph(random, sizes.height, sizes.width)
        picture.save(root / f"png/{number}.png")
        picture.save(root / f"jpeg/{number}.jpg", quality=90)


class Repeated:
    """A data set several times over, so that an epoch is long beside the cost of beginning one."""

    def __init__(self, dataset: Any, times: int) -> None:
        self.dataset, self.times = dataset, times

    def __len__(self) -> int:
        return len(self.dataset) * self.times

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return a sample as float32."""
        return self.dataset.load(index % len(self.dataset), generator)

    def load_stored(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return a sample as it is stored."""
        return self.dataset.load_stored(index % len(self.dataset), generator)


def ours(mode: str, root: pathlib.Path, preprocess: str, cache: pathlib.Path | str, *, stored: bool = False) -> Batches:
    """Return our loader's epochs, or, ``stored``, its batches as they go to a GPU: uint8."""
    loader = _loader(Repeated(_open(mode, root, preprocess, cache), 200))
    return loader.stored if stored else loader.epoch


def ours_at_first(mode: str, root: pathlib.Path, preprocess: str, cache: pathlib.Path) -> Batches:
    """Return epochs of our loader that each begin with an empty cache and fill it."""
    return lambda epoch: _loader(_open(mode, root, preprocess, cache / f"first{epoch}")).epoch(epoch)


def _open(mode: str, root: pathlib.Path, preprocess: str, cache: pathlib.Path | str) -> Any:
    common = CommonDataOptions(dataroot=str(root), preprocess=preprocess, cache=str(cache))
    return DATASETS.get(mode)(DATASETS.options(mode)(), common, train=True)


def _loader(dataset: Any) -> EpochLoader:
    return EpochLoader(dataset, LoaderOptions(batch_size=BATCH, num_threads=0), seed=0, shuffle=True)


def textbook(dataset: torch.utils.data.Dataset[Any]) -> Batches:
    """Return the textbook loader's epochs."""
    repeated: ConcatDataset[Any] = ConcatDataset([dataset] * 200)
    loader = DataLoader(repeated, batch_size=BATCH, shuffle=True)
    return lambda epoch: loader


def rate(batches: Iterator[Any], seconds: float) -> float:
    """Return samples per second of processor time, over at least ``seconds`` of it and one batch."""
    samples, began = 0, time.process_time()
    for batch in batches:
        samples += len(batch["A"])
        spent = time.process_time() - began
        if spent >= seconds:
            break
    return samples / spent


def measure(loaders: dict[str, Batches], sizes: Sizes) -> dict[str, list[float]]:
    """Return the rates of several rounds, in each of which every loader has its turn."""
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(sizes.rounds + 1):
        for name, batches in loaders.items():
            found = rate(iter(batches(turn + 1)), sizes.seconds)
            rates[name] += [found] if turn else []
    return rates


def rows(work: str, rates: dict[str, list[float]]) -> list[list[str]]:
    """Return table rows: median, spread, and the median over rounds of the ratio to the first loader."""
    first = next(iter(rates.values()))
    found = []
    for name, values in rates.items():
        ratio = statistics.median(own / plain for own, plain in zip(values, first, strict=True))
        spread = f"{_number(min(values))} to {_number(max(values))}"
        found.append([work, name, _number(statistics.median(values)), spread, f"{_number(ratio)}x"])
    return found


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def compare(root: pathlib.Path, sizes: Sizes) -> str:
    """Return the whole section: table, machine and command."""
    pairs, cache = root / "pairs", root / "cache"
    loaders = {
        "textbook": textbook(TextbookPairs(pairs / "train")),
        "ours, no cache": ours("aligned", pairs, "resize_and_crop", "off"),
        "ours, first epoch": ours_at_first("aligned", pairs, "resize_and_crop", cache),
        "ours, float32": ours("aligned", pairs, "resize_and_crop", cache),
        "ours, as sent to a GPU": ours("aligned", pairs, "resize_and_crop", cache, stored=True),
    }
    found = rows("pairs, PNG", measure(loaders, sizes))
    for kind in ("png", "jpeg"):
        loaders = {
            "textbook": textbook(TextbookCrops(root / kind)),
            "ours, float32": ours("single", root / kind, "crop", cache),
            "ours, as sent to a GPU": ours("single", root / kind, "crop", cache, stored=True),
        }
        found += rows(f"crops of 8 MP, {kind.upper()}", measure(loaders, sizes))
    head = ["Work", "Loader", "Samples per second", "Spread", "Ratio"]
    words = (
        f"{sizes.rounds} rounds of {sizes.seconds:g} s each, medians. {machine()}. `python -m benchmarks.data --write`"
    )
    return f"{table(head, found)}\n\n{words}"


def main() -> None:
    """Print the table, and with ``--write`` put it into docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    write = parser.parse_args().write
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        make_images(pathlib.Path(folder), Sizes())
        section = compare(pathlib.Path(folder), Sizes())
    publish("data", section, write=write)


if __name__ == "__main__":
    main()
