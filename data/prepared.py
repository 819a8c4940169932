"""Files -> images up to where chance comes in: decoded, channels fitted, resized; kept in the cache."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from data.cache import Entry, open_cache
from data.common import CommonDataOptions
from data.transforms import Size, resize_rule, resized

if TYPE_CHECKING:
    from data.sample import Side

_CODE = (
    *("arrays.py", "colour.py", "inputs.py", "orientation.py", "prepared.py", "readers.py", "sample.py", "tiff.py"),
    *("transforms.py", "value_range.py"),
)
_LIBRARIES = ("torch", "numpy", "opencv-python-headless", "pillow", "tifffile", "imagecodecs")


@dataclass(frozen=True)
class Prepared:
    """One image of a sample, not yet cropped or mirrored.

    Args:
        values: (C, H, W), a tensor or what slices to one. uint8 as in files; uint16 and float32 as in files too, or,
            where they had to be resized, as float32 in [-1,1].
        size: height and width in the file.
        normalized: whether the values are in [-1,1].
        holes: whether some pixel of the whole image is not finite.
        mask: (1, H, W) bool, where every pixel that contributed is finite, of resized images with holes.
    """

    values: Any
    size: Size
    normalized: bool = False
    holes: bool = False
    mask: Any = None


class Images:
    """Prepares images as the options say, or takes them from the cache; the values are the same, bit for bit."""

    def __init__(self, options: CommonDataOptions) -> None:
        self.options, self.cache = options, open_cache(options)
        self._rule = resize_rule(options)

    def open(self, side: Side, path: pathlib.Path, read: Callable[[], np.ndarray], part: str = "") -> Prepared:
        """Return one image.

        Args:
            path: the file that the image is in.
            read: returns its values, H x W x C; called only when they are not in the cache.
            part: which part of the file the image is.

        Raises:
            UserError: what ``read`` raises, or the channels do not fit the side.
        """
        key = self._key(side, path, part) if self.cache else None
        entry = self.cache.get(key) if self.cache and key else None
        if entry is not None:
            return _from_entry(entry)
        image = read()
        prepared = side.prepare(image, path, resized(self.options, (image.shape[0], image.shape[1])))
        if self.cache and key:
            self.cache.put(key, *_to_entry(prepared))
        return prepared

    def derived(
        self, side: Side, path: pathlib.Path, part: str, make: Callable[[], dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Return small tensors that follow from one prepared image, kept in the cache too.

        Args:
            part: which part of the file the image is, and what is derived of it.
        """
        key = self._key(side, path, part) if self.cache else None
        entry = self.cache.get(key) if self.cache and key else None
        if entry is not None:
            return {name: values[:] for name, values in entry.slices.items()}
        tensors = make()
        if self.cache and key:
            self.cache.put(key, {}, tensors)
        return tensors

    def _key(self, side: Side, path: pathlib.Path, part: str) -> str | None:
        """Return a name for all that the values depend on; None where the file cannot be seen."""
        try:
            facts = os.stat(path)
        except OSError:
            return None
        file = (os.path.abspath(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
        values = (side.channels, side.range.low, side.range.high)
        return _digest(repr((_versions(), file, part, values, self._rule)).encode())


def _from_entry(entry: Entry) -> Prepared:
    facts = entry.facts
    size = facts["size"][0], facts["size"][1]
    return Prepared(entry.slices["values"], size, facts["normalized"], facts["holes"], entry.slices.get("mask"))


def _to_entry(prepared: Prepared) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    facts = {"size": prepared.size, "normalized": prepared.normalized, "holes": prepared.holes}
    masks = {} if prepared.mask is None else {"mask": prepared.mask}
    return facts, {"values": prepared.values} | masks


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


@functools.cache
def _versions() -> str:
    """Return a name for the code that makes the values: other code makes entries of its own."""
    here = pathlib.Path(__file__).parent
    code = b"".join((here / name).read_bytes() for name in _CODE)
    libraries = [_version(name) for name in _LIBRARIES]
    return _digest(code + repr((libraries, torch.backends.cpu.get_cpu_capability())).encode())


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None
