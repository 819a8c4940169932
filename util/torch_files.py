"""Files of torch.save, read without running code in them and without trusting a byte of them."""

from __future__ import annotations

import pathlib
import zipfile
from typing import Any

import torch


def load_torch_file(path: pathlib.Path) -> Any:
    """Return what ``torch.save`` wrote, on the CPU: tensors and plain types, never code.

    Raises:
        ValueError: a checksum is wrong, or the file was packed by something else than torch.
        Exception: whatever the reader raises on damaged or hostile bytes.
    """
    if zipfile.is_zipfile(path):
        verify_torch_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def verify_torch_file(path: pathlib.Path) -> None:
    """Check every byte against the checksums of the archive, which ``torch.load`` does not do.

    Raises:
        ValueError: a byte is wrong, or members are compressed: torch never does that, and they could be bombs.
        zipfile.BadZipFile: it is no whole archive.
    """
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("compressed, which files of torch are not")
        if damaged := archive.testzip():
            raise ValueError(f"wrong checksum of {damaged}")
