"""One opened run: a file in, a file of the same kind and depth out."""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import torch

from data.value_range import ValueRange
from data.writers import FileFormat
from inference.server.refusal import FAILED, NO_ROOM, Refused
from inference.server.uploads import Upload, about
from inference.translator import Translator
from util.errors import UserError

_KEPT = {"tiff": ".tif", "npy": ".npy"}
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "alloc_cpu")


class ServedRun:
    """A run by name.

    Args:
        name: what clients call it.
        translator: as ``a2b.load`` returns it; results are bit for bit what it gives.
    """

    def __init__(self, name: str, translator: Translator) -> None:
        self.name, self.translator = name, translator
        self._seconds_per_pixel = 0.0

    @property
    def fills_holes(self) -> bool:
        """Return whether images need a mask, or transparent pixels."""
        return self.translator.holes is not None

    def describe(self) -> dict[str, Any]:
        """Return the run's name, the channels that it translates as they are, and its files, as plain values."""
        files = {side: domain.format.dtype for side, domain in self.translator.domains.items()}
        luma = self.translator.luma
        input_nc, output_nc = (3, 3) if luma else self.translator.channels
        input_nc -= self.fills_holes  # the mask is no part of the image
        return {
            "name": self.name,
            "input_channels": input_nc,
            "output_channels": output_nc,
            "brightness_alone": luma,
            "fills_holes": self.fills_holes,
            "trained_on": {"input": files.get("A"), "output": files.get("B")},
        }

    def ranges(self, dtype: str) -> tuple[ValueRange, ValueRange]:
        """Return the file values of black and white for input files of this dtype, and for their results."""
        source, target = self.translator.domains_of(dtype)
        return source.range, target.range

    def expected_seconds(self, upload: Upload) -> float:
        """Return how long an image of this size takes by the one before it; 0 before the first."""
        return self._seconds_per_pixel * upload.info.height * upload.info.width

    def translate(self, upload: Upload, output: str) -> pathlib.Path:
        """Write the translated image beside the upload and return its file.

        Args:
            output: "same" keeps PNG, TIFF and NPY and answers every other kind losslessly; or a suffix without its dot.

        Raises:
            Refused: the bytes are damaged, the run cannot take such an image, or the memory does not suffice.
        """
        began = time.monotonic()
        with told(upload):
            result = upload.path.with_suffix(self._suffix(upload, output))
            self.translator.file(upload.path, result, upload.mask)
        self._seconds_per_pixel = (time.monotonic() - began) / (upload.info.height * upload.info.width)
        return result

    def _suffix(self, upload: Upload, output: str) -> str:
        if output != "same":
            return f".{output}"
        kept, (_, target) = _KEPT.get(upload.kind), self.translator.domains_of(upload.info.dtype)
        return kept or FileFormat(target.format.dtype, self.translator.channels[1]).suffix


@contextlib.contextmanager
def told(upload: Upload) -> Iterator[None]:
    """Turn what may go wrong with an upload into one line for the client; a fault of the program passes."""
    try:
        yield
    except UserError as error:
        raise about(error, upload.path, upload.name) from None
    except (MemoryError, torch.OutOfMemoryError):
        raise _too_little_memory(upload) from None
    except OSError as error:
        raise Refused(NO_ROOM, f"{upload.name}: the result could not be stored ({error.strerror})") from None
    except RuntimeError as error:
        if any(words in str(error) for words in _MEMORY_WORDS):
            raise _too_little_memory(upload) from None
        raise


def _too_little_memory(upload: Upload) -> Refused:
    size = f"{upload.info.width}x{upload.info.height}"
    return Refused(NO_ROOM, f"{upload.name}: the server has too little memory for {size} pixels; send a smaller image")


def unexpected(upload: Upload) -> Refused:
    """Return what a client is told of a fault of the program, which the server's log shows."""
    return Refused(FAILED, f"{upload.name}: internal error; the server's log tells more")
