"""How near an exported file comes to the run itself, and how fast it is."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.predictor import Predictor

#: (N,C,H,W) in [0,1] -> (N,C',scale*H,scale*W) in [0,1]
Runner = Callable[[Tensor], Tensor]

LIMIT = 5e-5  # of values in 0..1, which is 1e-4 of the networks' -1..1


def runner_of(predictor: Predictor) -> Runner:
    """Return a predictor of one generator as a function of images in [0,1]: what every file is compared with."""
    return lambda image: predictor({"A": image * 2 - 1})[predictor.model.result] * 0.5 + 0.5


def trial_sizes(multiple: int, size: int = 256) -> list[tuple[int, int, int]]:
    """Return (batch, height, width) thrice: what the network takes as it is, a batch of two, and odd sizes."""
    fitting = -(-size // multiple) * multiple
    return [(1, fitting, fitting), (2, fitting, fitting + multiple), (1, fitting - 5, fitting + 3)]


def trial_images(channels: int, multiple: int, size: int = 256) -> list[Tensor]:
    """Return images of the trial sizes: smooth blobs with some grain, always the same."""
    return [_blobs(batch, channels, height, width) for batch, height, width in trial_sizes(multiple, size)]


def _blobs(batch: int, channels: int, height: int, width: int) -> Tensor:
    chance = torch.Generator().manual_seed(height * width)
    coarse = torch.rand(batch, channels, 8, 8, generator=chance)
    grain = torch.rand(batch, channels, height, width, generator=chance)
    smooth = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    return (0.85 * smooth + 0.15 * grain).clamp(0, 1)


def compare(expected: Sequence[Tensor], found: Iterable[Tensor]) -> tuple[float, float]:
    """Return the largest difference of any pixel, and the PSNR of all pixels together in dB, for values in 0..1.

    All pixels together, because a mean over images would let good ones hide a bad one. Not-a-number counts as an
    infinite difference.
    """
    largest, squares, count = 0.0, 0.0, 0
    for wanted, image in zip(expected, found, strict=True):
        difference = (wanted.double() - image.double()).abs().nan_to_num(nan=math.inf)
        largest = max(largest, difference.max().item())
        squares, count = squares + difference.square().sum().item(), count + difference.numel()
    return largest, -10 * math.log10(squares / count) if squares else math.inf


@dataclass(frozen=True)
class Times:
    """Milliseconds of one call: what a clock on the wall shows, and what the processors spent on it."""

    wall: float
    processor: float


def median_times(
    runners: Mapping[str, Runner], image: Tensor, rounds: int = 7, patience: float = 60
) -> dict[str, Times]:
    """Return the median times of one call of each runner, after one call to warm up.

    The runners take turns, so that other work on the machine hits all of them alike; after ``patience`` seconds no
    further round begins, but there are three at least. On a busy machine the processors' time tells more.
    """
    times: dict[str, list[Times]] = {name: [] for name in runners}
    for run in runners.values():
        run(image)
    began = time.perf_counter()
    for number in range(rounds):
        if number >= 3 and time.perf_counter() - began > patience:
            break
        for name, run in runners.items():
            times[name].append(_time(run, image))
    return {
        name: Times(statistics.median(t.wall for t in each), statistics.median(t.processor for t in each))
        for name, each in times.items()
    }


def _time(run: Runner, image: Tensor) -> Times:
    wall, processor = time.perf_counter(), time.process_time()
    run(image)
    return Times(1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor))
