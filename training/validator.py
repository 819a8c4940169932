"""Measure and show the val split while training, on copies of the networks: the training goes on as if without it."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.loader import LoadsSamples, sample_seed
from evaluation.measurement import Beside, Measurement, Row, Sample, measurement_for
from evaluation.metrics import MetricTable
from evaluation.perceptual import Lpips
from inference.domains import Domains
from models.networks.norms import norm_statistics
from training.phases import generators
from training.previews import Previewer, to_pictures
from util.errors import UserError

_BESIDE = ("psnr", "psnr_y", "hole_psnr")  # metrics of the baseline that the logs show


@dataclass(frozen=True)
class Variant:
    """One way to use the networks: averaged weights or not, and the statistics of batch norm.

    ``suffix`` tells its values apart in the logs; ``usual`` marks the norm that test.py takes for this run.
    """

    averaged: bool
    test_norm: str
    suffix: str
    usual: bool


@dataclass(frozen=True)
class Validation:
    """What one validation found.

    ``scores`` holds the mean metrics of each variant, empty without pairs; ``pictures`` are uint8 by label;
    ``beside`` has the metrics of a simpler way by the names of the logs, where the data set knows one.
    """

    scores: dict[Variant, Row]
    pictures: dict[str, np.ndarray]
    seconds_per_image: float
    beside: Row = field(default_factory=dict)

    @property
    def values(self) -> dict[str, float]:
        """Return all metrics under the names that logs use, such as val_psnr and val_psnr_ema."""
        named = ((f"val_{metric}{variant.suffix}", value) for variant, metrics in self.scores.items()
                 for metric, value in metrics.items())  # fmt: skip
        return dict(named) | self.beside


@dataclass
class Validator:
    """The val split, and how to measure it.

    Several processes share the samples. Every sample is read and translated once for plain and once for averaged
    weights, and with both statistics of batch norm where the generators have it. Figures are those of test.py: where
    the data set says how it is measured, they are measured so, and the baseline once, at the first validation.

    Args:
        dataset: opened without augmentation, with the ranges of the training.
        domains: of the model's images.
        previewer: that hands out copies of the networks.
        seed: of the run.
        count: images to measure.
        metric: the one to tell of with the unusual statistics of batch norm; with the usual ones all are.
        lpips: from :func:`evaluation.metrics.load_lpips`.
    """

    dataset: LoadsSamples
    domains: Domains
    previewer: Previewer
    seed: int
    count: int
    metric: str = "psnr"
    lpips: Lpips | None = None
    _failed: dict[int, str] = field(default_factory=dict)
    _told: set[int] = field(default_factory=set)
    _beside: Row | None = None

    @property
    def measures(self) -> bool:
        """Whether there are pairs, so that outputs can be measured."""
        return bool(getattr(self.dataset, "pairs", None))

    def run(self) -> Validation:
        """Measure all variants; files that cannot be read are named once and left out."""
        began = time.perf_counter()
        scores: dict[Variant, Row] = {}
        pictures: dict[str, np.ndarray] = {}
        variants = self.variants()
        with torch.random.fork_rng(devices=[]):  # predicting draws nothing on a GPU
            for variant in variants:
                scores[variant], shown = self._measure(variant)
                pictures |= {label: shown[label] for label in shown if variant.usual and label not in pictures}
        self._tell()
        seconds = (time.perf_counter() - began) / max(1, self.count * len(variants))
        measured = {variant: row for variant, row in scores.items() if row}
        return Validation(measured, pictures, seconds, dict(self._beside or {}))

    def has_target(self, fits: Callable[[tuple[int, ...]], bool]) -> bool:
        """Return whether any of the processes reads a target whose height and width ``fits``."""
        here = any(fits(sample["B"].shape[-2:]) for _, sample in self._samples())
        return self.previewer.updater.ranks.any(here)

    def variants(self) -> list[Variant]:
        """Return the variants to measure, the plain and usual one first."""
        usual = self.previewer.test_norm
        other = other_norm(generators(self.previewer.updater.model), usual)
        norms = [(usual, "", True)] + ([(other, f"_{other}", False)] if other else [])
        weights = [(False, ""), (True, "_ema")] if self.previewer.updater.has_average else [(False, "")]
        return [
            Variant(averaged, norm, ema + suffix, is_usual)
            for (norm, suffix, is_usual), (averaged, ema) in itertools.product(norms, weights)
        ]

    def _measure(self, variant: Variant) -> tuple[Row, dict[str, np.ndarray]]:
        """Return the mean metrics, and the pictures of the first image."""
        with self.previewer.updater.averaged() if variant.averaged else contextlib.nullcontext():
            predictor = self.previewer.predictor(variant.test_norm)
        measurement, model = self._measurement(variant) if self.measures else None, self.previewer.updater.model
        first = self._beside is None and hasattr(self.dataset, "protocol")
        rows: dict[int, tuple[Row, Beside]] = {}
        pictures: dict[str, np.ndarray] = {}
        for index, sample in self._samples():
            images = predictor({side: sample[side][None] for side in ("A", "B") if side in sample})
            if not pictures:
                pictures = _labelled(to_pictures(images, self.previewer.bands), variant)
            if measurement is not None and {model.result, model.truth} <= set(images):
                rows[index] = measurement.measure(self._in_file_values(images, sample), beside=first)
        found = self.previewer.updater.ranks.gather_rows(rows)
        if measurement is not None and first:
            self._beside = _beside([beside for _, beside in found.values()])
        means = _means(row for row, _ in found.values())
        return means if variant.usual else {name: means[name] for name in means if name == self.metric}, pictures

    def _samples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        ranks = self.previewer.updater.ranks
        for index in range(ranks.rank, self.count, ranks.count):
            random = torch.Generator().manual_seed(sample_seed(self.seed, 0, index))
            try:
                sample = self.dataset.load(index, random)
            except UserError as error:
                self._failed[index] = str(error)
                continue
            yield index, sample

    def _tell(self) -> None:
        """Name the files that any of the processes could not read, each once, on the first."""
        ranks = self.previewer.updater.ranks
        for index, message in ranks.gather_rows(self._failed).items():
            if ranks.first and index not in self._told:
                print(f"validation leaves out: {message}", file=sys.stderr)
            self._told.add(index)

    def _measurement(self, variant: Variant) -> Measurement:
        lpips = self.lpips if variant.usual or self.metric == "lpips" else None
        return measurement_for(self.dataset, self.domains.range("real_B"), lpips)

    def _in_file_values(self, images: Mapping[str, Tensor], sample: Mapping[str, Any]) -> Sample:
        masks = {"real_B": sample.get("B_mask")}
        model = self.previewer.updater.model
        labels = {"real_A": "real_A", "fake_B": model.result, "real_B": model.truth}
        values = {name: self.domains.values(of, images[of][0], masks.get(name)) for name, of in labels.items()}
        source = self.domains.range("real_B").restore(images["real_A"][0].permute(1, 2, 0).numpy())
        return Sample(values, "fake_B", source, sample)


def _beside(found: Sequence[Beside]) -> Row:
    """Return the means of what is measured beside the results, such as ``val_psnr_bicubic``."""
    names = dict.fromkeys(name for beside in found for name in beside)
    means = {name: _means(beside[name] for beside in found if name in beside) for name in names}
    shown = ((metric, name) for name in names for metric in _BESIDE if metric in means[name])
    return {f"val_{metric}_{name}".replace(" ", "_"): means[name][metric] for metric, name in shown}


def _means(rows: Iterable[Row]) -> Row:
    table = MetricTable()
    for index, row in enumerate(rows):
        table.add(str(index), row)
    return table.summary()


def other_norm(networks: Mapping[str, nn.Module], test_norm: str) -> str | None:
    """Return the other statistics that batch norm could use, "batch" or "running"; None without batch norm."""
    layers = [network for network in networks.values() if _has_batch_norm(network)]
    if not layers:
        return None
    return "running" if any(norm_statistics(network, test_norm) == "batch" for network in layers) else "batch"


def _has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def _labelled(pictures: Mapping[str, np.ndarray], variant: Variant) -> dict[str, np.ndarray]:
    """Return the pictures under labels of the val split; of averaged weights only what the generators made."""
    if not variant.averaged:
        return {f"val_{label}": picture for label, picture in pictures.items()}
    return {f"val_{label}_ema": picture for label, picture in pictures.items() if not label.startswith("real")}
