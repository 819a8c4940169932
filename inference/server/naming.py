"""Classes of what images show, on request: what names them, and how a worker answers with them."""

from __future__ import annotations

import json
import pathlib
import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from data.readers import read_image
from data.value_range import ValueRange
from inference.server.runs import told
from inference.server.uploads import Upload
from inference.translator import Translator
from models.classify_model import VOTES


class Names(Protocol):
    """Whatever names the content of images."""

    def __call__(self, values: np.ndarray, value_range: ValueRange | None = None, top: int = 3) -> dict[str, float]:
        """Return the most probable classes with their probabilities, best first.

        Args:
            values: (H,W,C) in file units.
            value_range: of black and white; None: 0 to 255 for uint8, else the extremes.
        """


class RunClassifier:
    """A run of ``--model classify``, which knows by itself what the values of files mean.

    Args:
        translator: of the run.
        classes: their names, in the run's order.
    """

    def __init__(self, translator: Translator, classes: Sequence[str]) -> None:
        self._translator, self._classes, self._lock = translator, classes, threading.Lock()

    def __call__(self, values: np.ndarray, value_range: ValueRange | None = None, top: int = 3) -> dict[str, float]:
        """See :class:`Names`; UserError where the run cannot take such an image."""
        with self._lock:
            votes = self._translator.undecided(values)[VOTES]
        return likeliest(votes.mean((0, 2, 3)), self._classes, top)


def likeliest(probabilities: Tensor, names: Sequence[str], top: int) -> dict[str, float]:
    """Return the first ``top`` of probabilities (count,) by name, best first."""
    best = probabilities.topk(min(top, len(probabilities)))
    return {names[i]: p for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)}


class NamingRun:
    """Does with uploads what :class:`ServedRun` does, but the result is a JSON file of classes."""

    name = "/classify"  # which no run can have

    def __init__(self, names: Names) -> None:
        self.names = names

    def translate(self, upload: Upload, output: str) -> pathlib.Path:
        """Write the probabilities of an upload's classes beside it; Refused as for a translation."""
        with told(upload):
            result = upload.path.with_suffix(".json")
            result.write_text(json.dumps(self.names(read_image(upload.path))), encoding="utf-8")
            return result
