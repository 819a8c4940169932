"""Measure and show the val split while training, on copies of the networks: the training goes on as if without it."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data.loader import LoadsSamples, sample_seed
from evaluation.metrics import MetricTable, evaluate_pair
from evaluation.perceptual import Lpips
from inference.domains import Domains
from training.phases import generators
from training.previews import Previewer, to_pictures
from util.errors import UserError


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

    ``scores`` holds the mean metrics of each variant, empty without pairs; ``pictures`` are uint8 by label.
    """

    scores: dict[Variant, dict[str, float]]
    pictures: dict[str, np.ndarray]
    seconds_per_image: float

    @property
    def values(self) -> dict[str, float]:
        """Return all metrics under the names that logs use, such as val_psnr and val_psnr_ema."""
        named = ((f"val_{metric}{variant.suffix}", value) for variant, metrics in self.scores.items()
                 for metric, value in metrics.items())  # fmt: skip
        return dict(named)


@dataclass
class Validator:
    """The val split, and how to measure it.

    Several processes share the samples. Every sample is read and translated once for plain and once for averaged
    weights, and with both statistics of batch norm where the generators have it.

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

    @property
    def measures(self) -> bool:
        """Whether there are pairs, so that outputs can be measured."""
        return bool(getattr(self.dataset, "pairs", None))

    def run(self) -> Validation:
        """Measure all variants; files that cannot be read are named once and left out."""
        began = time.perf_counter()
        scores: dict[Variant, dict[str, float]] = {}
        pictures: dict[str, np.ndarray] = {}
        variants = self.variants()
        with torch.random.fork_rng(devices=[]):  # predicting draws nothing on a GPU
            for variant in variants:
                scores[variant], shown = self._measure(variant)
                pictures |= {label: shown[label] for label in shown if variant.usual and label not in pictures}
        self._tell()
        seconds = (time.perf_counter() - began) / max(1, self.count * len(variants))
        return Validation({variant: row for variant, row in scores.items() if row}, pictures, seconds)

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

    def _measure(self, variant: Variant) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Return the mean metrics, and the pictures of the first image."""
        with self.previewer.updater.averaged() if variant.averaged else contextlib.nullcontext():
            predictor = self.previewer.predictor(variant.test_norm)
        rows: dict[int, dict[str, float]] = {}
        pictures: dict[str, np.ndarray] = {}
        for index, sample in self._samples():
            images = predictor({side: sample[side][None] for side in ("A", "B") if side in sample})
            if not pictures:
                pictures = _labelled(to_pictures(images), variant)
            if self.measures and {"fake_B", "real_B"} <= set(images):
                rows[index] = self._compare(images, sample, variant)
        table = MetricTable()
        for index, row in self.previewer.updater.ranks.gather_rows(rows).items():
            table.add(str(index), row)
        return table.summary(), pictures

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

    def _compare(self, images: Mapping[str, Tensor], sample: Mapping[str, Any], variant: Variant) -> dict[str, float]:
        fake = self.domains.values("fake_B", images["fake_B"][0])
        real = self.domains.values("real_B", images["real_B"][0], sample.get("B_mask"))
        lpips = self.lpips if variant.usual or self.metric == "lpips" else None
        row = evaluate_pair(fake, real, self.domains.range("real_B"), lpips)
        return row if variant.usual else {name: value for name, value in row.items() if name == self.metric}


def other_norm(networks: Mapping[str, nn.Module], test_norm: str) -> str | None:
    """Return the other statistics that batch norm could use, "batch" or "running"; None without batch norm."""
    layers = [network for network in networks.values() if _has_batch_norm(network)]
    if not layers:
        return None
    if test_norm == "auto":
        test_norm = "batch" if any(getattr(n, "test_norm", "running") == "batch" for n in layers) else "running"
    return "running" if test_norm == "batch" else "batch"


def _has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


def _labelled(pictures: Mapping[str, np.ndarray], variant: Variant) -> dict[str, np.ndarray]:
    """Return the pictures under labels of the val split; of averaged weights only what the generators made."""
    if not variant.averaged:
        return {f"val_{label}": picture for label, picture in pictures.items()}
    return {f"val_{label}_ema": picture for label, picture in pictures.items() if not label.startswith("real")}
