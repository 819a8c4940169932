"""The tensors of files that hold more than tensors, as training programs and TorchScript write them.

Nothing of what such a file asks for is imported or called: every class that is not a tensor's becomes an empty
stand-in, which keeps what it is given.
"""

from __future__ import annotations

import io
import pathlib
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_ENTRY = "data.pkl"
_LIGHTNING = b"pytorch_lightning"
_DTYPES = {
    **{"FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16},
    **{"BFloat16Storage": torch.bfloat16, "BoolStorage": torch.bool, "ByteStorage": torch.uint8},
    **{"CharStorage": torch.int8, "ShortStorage": torch.int16, "IntStorage": torch.int32, "LongStorage": torch.int64},
}


class StandIn:
    """Whatever a file wants to have made; hashable, as some are keys."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass


def is_foreign_archive(path: pathlib.Path) -> bool:
    """Return whether a file is a TorchScript program, or a checkpoint of PyTorch Lightning with its own classes."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        entry = _entry(archive)
        if entry is None:
            return False
        folder = entry.removesuffix(_ENTRY)
        return f"{folder}constants.pkl" in archive.namelist() or _LIGHTNING in archive.read(entry)


def load_inert(path: pathlib.Path) -> dict[str, Any]:
    """Return what such a file holds: a checkpoint's dictionary, or the tensors of a TorchScript program by their names.

    Raises:
        Exception: whatever reading damaged or hostile bytes raises; no code of the file has run.
    """
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"wrong checksum of {damaged}")
        entry = _entry(archive)
        assert entry is not None
        content = _Reader(archive, entry.removesuffix(_ENTRY), archive.read(entry)).load()
    return content if isinstance(content, dict) else dict(_tensors(content, ""))


def _entry(archive: zipfile.ZipFile) -> str | None:
    names = (name for name in archive.namelist() if name == _ENTRY or name.endswith(f"/{_ENTRY}"))
    return next(names, None)


def _tensors(content: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of stand-ins within stand-ins, named as in a state dict."""
    for name, value in vars(content).items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, StandIn):
            yield from _tensors(value, f"{prefix}{name}.")


class _Reader(pickle.Unpickler):
    """Makes dictionaries, tensors and stand-ins, and nothing else."""

    def __init__(self, archive: zipfile.ZipFile, folder: str, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.archive, self.folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
            return _tensor if name == "_rebuild_tensor_v2" else _parameter
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        return type(name, (StandIn,), {})

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _, count = pid
        member = self.archive.getinfo(f"{self.folder}data/{key}")
        if kind != "storage" or not isinstance(dtype, torch.dtype) or member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member.filename} is no plain tensor")
        content = bytearray(self.archive.read(member))
        return torch.frombuffer(content, dtype=dtype)[:count] if content else torch.empty(0, dtype=dtype)


def _tensor(values: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> Tensor:
    return values.as_strided(size, stride, offset)


def _parameter(values: Tensor, *rest: Any) -> Tensor:
    return values
