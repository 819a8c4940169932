"""Arrays that numpy has saved, .npy or one of them in a .npz, as images; never pickles, never more than the limit."""

from __future__ import annotations

import io
import math
import pathlib
import zipfile

import numpy as np

from data.limits import check_pixels


def read_npy(path: pathlib.Path, data: bytes) -> np.ndarray:
    """Return H x W or H x W x C of a .npy file's bytes; ValueError for what is no image."""
    shape, dtype = _npy_header(data)
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"shape {shape}; expected H x W or H x W x C")
    check_pixels(path, *shape)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"pixels of type {dtype}")
    if math.prod(shape) * dtype.itemsize > len(data):  # numpy makes room for all of it before it reads
        raise ValueError("truncated")
    return np.load(io.BytesIO(data), allow_pickle=False)


def read_npz(path: pathlib.Path, data: bytes) -> np.ndarray:
    """Return the one array of a .npz file's bytes; ValueError where there are several, or none."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        if len(names) != 1:
            raise ValueError(f"{len(names)} arrays ({', '.join(names[:5])}) where one image is expected")
        with archive.open(archive.infolist()[0]) as member:
            _check_header(path, member.read(1024))
        return read_npy(path, archive.read(archive.infolist()[0]))


def _check_header(path: pathlib.Path, head: bytes) -> None:
    """Refuse an array by its shape before the rest of it is unpacked: a zip can hold far more than its own size."""
    shape, _ = _npy_header(head)
    if len(shape) in (2, 3):
        check_pixels(path, *shape)


def _npy_header(data: bytes) -> tuple[tuple[int, ...], np.dtype]:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
