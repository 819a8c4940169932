"""``prepare.py demo``: make a small data set to try things on."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shutil
import time
import types
from typing import Any

from data.tools.folders import check_free, partial_folder
from util.errors import UserError
from util.files import write_text

KINDS = {
    "sem_depth": "simulated microscope images with their depth",
    "flare": "pictures with and without lens flare",
    "aerial": "pictures as seen from a plane",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; those left out are as the kind says."""
    kinds = "; ".join(f"{name}: {text}" for name, text in KINDS.items())
    parser.add_argument("--kind", choices=list(KINDS), default="sem_depth", help=f"what to make: {kinds}")
    parser.add_argument("--out", default="demo_data", help="folder to make (default: %(default)s)")
    parser.add_argument("--count", type=int, help="scenes for training; val and test get more of their own (240)")
    parser.add_argument("--size", type=int, help="height and width in pixels (sem_depth: 128, others: 256)")
    parser.add_argument("--iterations", type=int, help="sem_depth: scans per depth map (2)")
    parser.add_argument("--bit_depth", type=int, choices=[8, 16], help="sem_depth: of the SEM images (8)")
    parser.add_argument("--by_level", action="store_true", default=None, help="sem_depth: sort real images by level")
    parser.add_argument("--photos", help="flare: folder of pictures to put it over, in place of drawn scenes")
    parser.add_argument("--seed", type=int, help="same seed, same images (0)")


def run(args: argparse.Namespace) -> None:
    """Write the data set, or say that exactly it is already there; UserError for other contents or bad values."""
    kind = _kind(args.kind)
    settings = _settings(args, kind.Settings)
    out = pathlib.Path(args.out)
    readme = out / "README.txt"
    if readme.is_file() and readme.read_text(encoding="utf-8") == kind.describe(settings):
        print(f"{out}: already made with these settings")
        return
    check_free(out)
    start, partial = time.perf_counter(), partial_folder(out)
    try:
        kind.write_dataset(partial, settings)
        write_text(partial / readme.name, kind.describe(settings))
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{out}: {sum(settings.counts().values())} scenes in {time.perf_counter() - start:.0f} s; see {readme}")


def _kind(name: str) -> types.ModuleType:
    """Return the module that makes one of :data:`KINDS`; imported here, so that --help does not wait for OpenCV."""
    from data.tools import demo_aerial, demo_flare, demo_sem_depth

    return {"sem_depth": demo_sem_depth, "flare": demo_flare, "aerial": demo_aerial}[name]


def _settings(args: argparse.Namespace, kind: type) -> Any:
    """Return the settings of a kind with what the command line says of them."""
    known = {field.name for field in dataclasses.fields(kind)}
    flags = ("count", "size", "iterations", "bit_depth", "by_level", "photos", "seed")
    given = {name: getattr(args, name) for name in flags if getattr(args, name) is not None}
    for name in given.keys() - known:
        raise UserError(f"--{name}: --kind {args.kind} does not have it; leave it out")
    for name, lowest in (("count", 1), ("size", 16), ("iterations", 1), ("seed", 0)):
        if given.get(name, lowest) < lowest:
            raise UserError(f"--{name} {given[name]}: give {lowest} or more")
    return kind(**given)
