"""One opened run: a file in, a file of the same kind and depth out."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import numpy as np
import torch

from data.value_range import ValueRange
from data.writers import FileFormat, as_hwc, write_image
from inference.domain import Domain, fit_domains
from inference.server.refusal import FAILED, NO_ROOM, UNREADABLE, Refused
from inference.server.uploads import Upload, decode
from inference.translator import Translator
from util.errors import UserError

OUTPUTS = ("same", "png", "tif", "npy")
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

    def describe(self) -> dict[str, Any]:
        """Return the run's name, channels and files as plain values."""
        files = {side: domain.format.dtype for side, domain in self.translator.domains.items()}
        input_nc, output_nc = self.translator.channels
        return {
            "name": self.name,
            "input_channels": input_nc,
            "output_channels": output_nc,
            "trained_on": {"input": files.get("A"), "output": files.get("B")},
        }

    def ranges(self, dtype: str) -> tuple[ValueRange, ValueRange]:
        """Return the file values of black and white for input files of this dtype, and for their results."""
        fitted = fit_domains(self.translator.domains, {"A": dtype}, "image") if self.translator.domains else {}
        whole = Domain.whole(dtype, 1)
        return fitted.get("A", whole).range, fitted.get("B", whole).range

    def expected_seconds(self, upload: Upload) -> float:
        """Return how long an image of this size takes by the one before it; 0 before the first."""
        return self._seconds_per_pixel * upload.info.height * upload.info.width

    def translate(self, upload: Upload, output: str) -> pathlib.Path:
        """Write the translated image beside the upload and return its file.

        Args:
            output: "same" keeps PNG, TIFF and NPY and answers every other kind losslessly; or png, tif or npy.

        Raises:
            Refused: the bytes are damaged, the run cannot take such an image, or the memory does not suffice.
        """
        began = time.monotonic()
        try:
            image = as_hwc(np.asarray(self.translator(decode(upload))))
            result = upload.path.with_suffix(_suffix(upload.kind, output, image))
            write_image(result, image)
            self._seconds_per_pixel = (time.monotonic() - began) / (upload.info.height * upload.info.width)
            return result
        except Refused:
            raise
        except UserError as error:
            message = str(error).replace(str(upload.path.with_suffix("")), pathlib.PurePath(upload.name).stem)
            raise Refused(UNREADABLE, message.replace("image: ", f"{upload.name}: ", 1)) from None
        except (MemoryError, torch.OutOfMemoryError):
            raise _too_little_memory(upload) from None
        except OSError as error:
            raise Refused(NO_ROOM, f"{upload.name}: the result could not be stored ({error.strerror})") from None
        except RuntimeError as error:
            if any(words in str(error) for words in _MEMORY_WORDS):
                raise _too_little_memory(upload) from None
            raise


def _suffix(kind: str, output: str, image: np.ndarray) -> str:
    if output != "same":
        return f".{output}"
    return _KEPT.get(kind) or FileFormat(image.dtype.name, image.shape[2]).suffix


def _too_little_memory(upload: Upload) -> Refused:
    size = f"{upload.info.width}x{upload.info.height}"
    return Refused(NO_ROOM, f"{upload.name}: the server has too little memory for {size} pixels; send a smaller image")


def unexpected(upload: Upload) -> Refused:
    """Return what a client is told of a fault of the program, which the server's log shows."""
    return Refused(FAILED, f"{upload.name}: internal error; the server's log tells more")
