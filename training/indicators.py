"""Signs of two failures that losses do not show: outputs that are all alike, and outputs with inverted brightness."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from data.loader import LoadsSamples, sample_seed
from training.previews import Previewer
from util.errors import BadFile

PROBES = 8
COLLAPSED, INVERTED = 0.1, -0.4
_THUMBNAIL, _SAME = 16, 1e-3
_IN_A_ROW = 3


class Indicators:
    """Translate a few fixed images now and then, and compare their variety and brightness with the originals'.

    ``diversity_B`` is the variety of the outputs relative to that of the targets: 1 is right, 0 means one output for
    every input. ``correlation_B`` is the mean correlation of each output's brightness with that of its target, or
    of its input where there are no pairs, from -1 to 1. Both are computed on thumbnails of 16 x 16 pixels.

    Args:
        dataset: of the training; the probes are evenly spaced in it.
        previewer: that makes the outputs.
        seed: of the run.
        paired: whether an output and its target show the same thing.
        diagnostics: returns what the method tells of itself by name, such as ``augment_p``; shown, not judged.
    """

    def __init__(
        self,
        dataset: LoadsSamples,
        previewer: Previewer,
        seed: int,
        *,
        paired: bool,
        diagnostics: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self.dataset, self.previewer, self.seed, self.paired = dataset, previewer, seed, paired
        self.diagnostics = diagnostics
        self._streaks: dict[str, int] = {}
        self._samples: list[dict[str, Any]] = []

    def look(self) -> tuple[dict[str, float], list[str]]:
        """Return the values by name, and a line for each failure that has just become clear."""
        values = self._measure()
        lines = [line for name in values if (line := self._judge(name, values[name]))]
        return values | dict(self.diagnostics()), lines

    def state_dict(self) -> dict[str, int]:
        """Return how often in a row each value was bad."""
        return dict(self._streaks)

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from a saved state."""
        self._streaks = dict(state)

    def _measure(self) -> dict[str, float]:
        with torch.random.fork_rng(devices=[]):  # predicting draws nothing on a GPU
            predictor = self.previewer.predictor()
            shown = [predictor(sample) for sample in self._probes()]
        if not shown:
            return {}
        labels = list(shown[0])
        return measure({label: _thumbnails([images[label] for images in shown]) for label in labels}, self.paired)

    def _probes(self) -> list[dict[str, Any]]:
        if not self._samples:
            count = min(PROBES, len(self.dataset))
            for index in (len(self.dataset) * k // count for k in range(count)):
                random = torch.Generator().manual_seed(sample_seed(self.seed, 0, index))
                with contextlib.suppress(BadFile):  # the loader, which meets it too, stops or passes it over
                    sample = self.dataset.load(index, random)
                    self._samples.append({side: sample[side][None] for side in ("A", "B") if side in sample})
        return self._samples

    def _judge(self, name: str, value: float) -> str | None:
        """Return the warning when ``value`` is bad for the third time in a row."""
        kind, side = name.split("_", 1)
        bad = value < (COLLAPSED if kind == "diversity" else INVERTED)
        self._streaks[name] = self._streaks.get(name, 0) + 1 if bad else 0
        if self._streaks[name] != _IN_A_ROW:
            return None
        return _collapse(side, value) if kind == "diversity" else _inversion(side, value, self.paired)


def measure(thumbnails: Mapping[str, Tensor], paired: bool) -> dict[str, float]:
    """Return ``diversity_X`` and ``correlation_X`` of every domain X that is translated to.

    Args:
        thumbnails: (N,C,h,w) by label: real_A, fake_B and so on.
        paired: whether fake_B and real_B show the same thing.
    """
    values: dict[str, float] = {}
    for source, target in itertools.permutations("AB"):
        fake, real = thumbnails.get(f"fake_{target}"), thumbnails.get(f"real_{target}")
        origin = real if paired else thumbnails.get(f"real_{source}")
        if fake is None:
            continue
        diversity = variety(fake) / variety(real) if real is not None and variety(real) > _SAME else math.nan
        correlation = brightness_correlation(fake, origin) if origin is not None else math.nan
        found = {f"diversity_{target}": diversity, f"correlation_{target}": correlation}
        values |= {name: value for name, value in found.items() if math.isfinite(value)}
    return values


def variety(images: Tensor) -> float:
    """Return how much (N,C,h,w) images differ from one another: the root mean square deviation from their mean."""
    return float((images - images.mean(0, keepdim=True)).square().mean().sqrt())


def brightness_correlation(images: Tensor, others: Tensor) -> float:
    """Return the mean over the samples of Pearson's correlation between the brightness of (N,C,h,w) images.

    Samples in which one image is of one brightness are left out; NaN when all are.
    """
    first, second = (batch.mean(1).flatten(1) for batch in (images, others))
    first, second = first - first.mean(1, keepdim=True), second - second.mean(1, keepdim=True)
    lengths = first.norm(dim=1) * second.norm(dim=1)
    kept = lengths > _SAME
    return float(((first * second).sum(1)[kept] / lengths[kept]).mean()) if kept.any() else math.nan


def _thumbnails(images: Sequence[Tensor]) -> Tensor:
    return torch.cat([F.adaptive_avg_pool2d(image.float(), _THUMBNAIL) for image in images])


def _collapse(side: str, value: float) -> str:
    return (
        f"warning: mode collapse: the outputs in domain {side} differ among themselves by {value:.0%} of what the "
        "targets do; start again with another --seed, a smaller --lr, or another --gan_mode (lsgan, wgangp)"
    )


def _inversion(side: str, value: float, paired: bool) -> str:
    if paired:
        remedy = "check that --direction and --dir_A --dir_B name what you mean, then raise --lambda_L1"
        return f"warning: inverted: outputs and targets in domain {side} correlate by {value:.2f}; {remedy}"
    return (
        f"warning: colors inverted: outputs in domain {side} correlate with their inputs by {value:.2f}; unless the "
        "domains are opposite by nature, start again with another --seed or a larger --lambda_identity"
    )
