"""``prepare.py demo``: make a small data set to try things on."""

from __future__ import annotations

import argparse
import pathlib
import shutil
import time

from data.tools.demo_sem_depth import DemoSettings, describe, write_dataset
from data.tools.folders import check_free, partial_folder
from util.errors import UserError
from util.files import write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    defaults = DemoSettings()
    parser.add_argument("--kind", choices=["sem_depth"], default="sem_depth", help="what to simulate")
    parser.add_argument("--out", default="demo_data", help="folder to make (default: %(default)s)")
    parser.add_argument("--count", type=int, default=defaults.count, help="depth maps for training (%(default)s)")
    parser.add_argument("--size", type=int, default=defaults.size, help="height and width in pixels (%(default)s)")
    parser.add_argument("--iterations", type=int, default=defaults.iterations, help="scans per depth map (%(default)s)")
    parser.add_argument("--bit_depth", type=int, choices=[8, 16], default=8, help="of the SEM images (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same images (%(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write the data set, or say that exactly it is already there; UserError for other contents or bad values."""
    settings = _settings(args)
    out = pathlib.Path(args.out)
    readme = out / "README.txt"
    if readme.is_file() and readme.read_text(encoding="utf-8") == describe(settings):
        print(f"{out}: already made with these settings")
        return
    check_free(out)
    start, partial = time.perf_counter(), partial_folder(out)
    try:
        write_dataset(partial, settings)
        write_text(partial / readme.name, describe(settings))
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{out}: {sum(settings.counts().values())} surfaces in {time.perf_counter() - start:.0f} s; see {readme}")


def _settings(args: argparse.Namespace) -> DemoSettings:
    for name, lowest in (("count", 1), ("size", 16), ("iterations", 1), ("seed", 0)):
        if getattr(args, name) < lowest:
            raise UserError(f"--{name} {getattr(args, name)}: give {lowest} or more")
    return DemoSettings(args.count, args.size, args.iterations, args.bit_depth, args.seed)
