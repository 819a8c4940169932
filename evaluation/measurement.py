"""How one result is measured and what it is measured beside: pixel by pixel, or as super-resolution papers do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from data.bicubic import enlarge
from data.colour import rounded
from data.protocol import Holes, Labels
from data.sr_colours import Colours
from data.value_range import ValueRange, as_dtype
from evaluation.metrics import evaluate_pair
from evaluation.perceptual import Lpips

Row = dict[str, float]
Beside = dict[str, Row]
Values = dict[str, np.ndarray]
UNCHANGED = "input unchanged"


@dataclass(frozen=True)
class Sample:
    """One sample's images in file values.

    Args:
        images: (H,W,C) by label, with "real_A" and, where it is known, "real_B".
        result: label of the output.
        source: the input in the target's file units, (h,w,C) float64, not rounded.
        extras: what the data set gave beside images.
    """

    images: Values
    result: str
    source: np.ndarray
    extras: Mapping[str, Any] = field(default_factory=dict)


class Measurement(Protocol):
    """Measures samples of one data set."""

    @property
    def lpips(self) -> Lpips | None:
        """Return what measures LPIPS; None where it is not measured."""

    def shown(self, sample: Sample) -> Values:
        """Return the images to write and show, by label."""

    def measure(self, sample: Sample, *, beside: bool = True) -> tuple[Row, Beside]:
        """Return the metrics of the result, and by their names those of simpler ways; there is a target.

        The latter are none where they cannot be had, or without ``beside``, which saves the time.
        """


@dataclass(frozen=True)
class PixelByPixel:
    """The whole result against the whole target, beside the unchanged input where it has the target's shape."""

    value_range: ValueRange
    lpips: Lpips | None = None

    def shown(self, sample: Sample) -> Values:
        """Return the images as they are."""
        return sample.images

    def measure(self, sample: Sample, *, beside: bool = True) -> tuple[Row, Beside]:
        """Return the metrics of the result, and of the input where it has the same shape."""
        target = sample.images["real_B"]
        row = evaluate_pair(sample.images[sample.result], target, self.value_range, self.lpips)
        if not beside or sample.images["real_A"].shape != target.shape:
            return row, {}
        unchanged = as_dtype(sample.source, target.dtype.name)
        return row, {UNCHANGED: evaluate_pair(unchanged, target, self.value_range, self.lpips)}


@dataclass(frozen=True)
class AsPapersDo:
    """PSNR and SSIM of RGB and of Y (BT.601), ``scale`` pixels cut from each side, beside bicubic enlargement.

    SSIM is that of its authors' code: windows inside the image. The output of a network that sees Y alone is shown,
    and measured in RGB and by LPIPS, with the colours of the bicubic enlargement.

    Args:
        shrunken: whether inputs are shrunken targets. Then bicubic's figures of Y are the published ones, for which
            Y itself is shrunken, without rounding, and enlarged.
    """

    scale: int
    shrunken: bool
    value_range: ValueRange
    lpips: Lpips | None = None

    @property
    def baseline(self) -> str:
        """Return the name of the simpler way: bicubic enlargement, or nothing at all at equal size."""
        return "bicubic" if self.scale > 1 else UNCHANGED

    def shown(self, sample: Sample) -> Values:
        """Return input, bicubic enlargement, result and target, in colour where the target's file is."""
        colours = _colours(sample)
        images = {label: image for label, image in sample.images.items() if label not in (sample.result, "real_B")}
        if self.scale > 1:
            images["bicubic"] = self._simple(sample)
        images[sample.result] = sample.images[sample.result]
        if colours is not None and not colours.is_grey and sample.source.shape[2] == 1:
            images = {label: colours.painted(image) for label, image in images.items()}
            return images | {"real_B": colours.target_pixels[..., :3]}
        return images | {label: image for label, image in sample.images.items() if label == "real_B"}

    def measure(self, sample: Sample, *, beside: bool = True) -> tuple[Row, Beside]:
        """Return the metrics of the result and of bicubic enlargement, each in RGB and Y."""
        images, colours = self.shown(sample), _colours(sample)
        target, simple = images["real_B"], images["bicubic" if self.scale > 1 else "real_A"]
        beside = beside and simple.shape == target.shape
        row, row_beside = self._rgb(images[sample.result], target), self._rgb(simple, target) if beside else {}
        if colours is not None and target.shape[2] in (1, 3, 4):
            of_y, of_y_beside = self.measure_y(sample, colours, beside=beside)
            row, row_beside = row | of_y, row_beside | of_y_beside
        return row, {self.baseline: row_beside} if row_beside else {}

    def measure_y(self, sample: Sample, colours: Colours, *, beside: bool = True) -> tuple[Row, Row]:
        """Return ``psnr_y`` and ``ssim_y`` of the result and of the baseline."""
        target = colours.luma(sample.images["real_B"])
        row = self._y(colours.luma(sample.images[sample.result]), target)
        return row, self._y(self._simple_y(sample, colours), target) if beside else {}

    def _simple(self, sample: Sample) -> np.ndarray:
        return rounded(enlarge(sample.source, self.scale), sample.images[sample.result].dtype)

    def _simple_y(self, sample: Sample, colours: Colours) -> np.ndarray:
        if not self.shrunken:
            return colours.luma(self._simple(sample))
        return rounded(enlarge(colours.shrunken_luma(), self.scale), sample.images["real_B"].dtype)

    def _rgb(self, fake: np.ndarray, real: np.ndarray) -> Row:
        return evaluate_pair(self._cut(fake), self._cut(real), self.value_range, self.lpips, inside=True)

    def _y(self, fake: np.ndarray, real: np.ndarray) -> Row:
        row = evaluate_pair(self._cut(fake), self._cut(real), self.value_range, inside=True)
        return {f"{metric}_y": row[metric] for metric in ("psnr", "ssim")}

    def _cut(self, image: np.ndarray) -> np.ndarray:
        """Return the image without its border, or a tiny one whole."""
        border = self.scale if min(image.shape[:2]) > 2 * self.scale else 0
        return image[border : image.shape[0] - border, border : image.shape[1] - border]


def _colours(sample: Sample) -> Colours | None:
    return sample.extras.get("colours")


def measurement_for(dataset: Any, value_range: ValueRange, lpips: Lpips | None) -> Measurement:
    """Return how results on a data set are measured: as its ``protocol`` says, else pixel by pixel."""
    protocol = getattr(dataset, "protocol", None)
    if protocol is None:
        return PixelByPixel(value_range, lpips)
    if isinstance(protocol, Labels):
        from evaluation.labels import ByLabel

        return ByLabel()
    if isinstance(protocol, Holes):
        from evaluation.holes import InAndOutOfHoles

        return InAndOutOfHoles(value_range, lpips)
    return AsPapersDo(protocol.scale, protocol.shrunken, value_range, lpips)
