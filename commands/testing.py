"""From resolved options to a results folder: what test.py does, step by step."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tqdm import tqdm

from commands.baselines import baseline_rows
from commands.build import describe_networks
from commands.domains import open_data
from commands.opened_run import load_model, predictor_of
from commands.report import Report
from data.loader import sample_seed
from evaluation.measurement import Measurement, measurement_for
from evaluation.metrics import load_lpips
from inference.domains import Domains
from inference.predictor import UNCERTAINTY, Predictor
from options.resolve import Options
from options.saved import format_options, save_options
from training.best import LABEL, describe_best
from training.ranks import join_ranks, silence
from training.run_folder import run_folder
from util.device import choose_device
from util.errors import UserError


class TestingSession:
    """Open the run at once, so that ``--dry_run`` can stop there, and translate on :meth:`run`."""

    __test__ = False  # not a test case

    def __init__(self, options: Options) -> None:
        self.options, values = options, options.values
        self.run_folder = run_folder(values["checkpoints_dir"], values["name"])
        print(format_options(options, everything=values["dry_run"] or values["verbose"]), end="")
        self.ranks = join_ranks(choose_device(values["gpu_ids"]))
        self.model = load_model(options, self.run_folder)
        print(describe_networks(self.model, values["verbose"]))
        if values["epoch"] == LABEL:
            print(describe_best(self.run_folder))

    def run(self) -> int:
        """Translate every image; return 0, 1 when some files failed, or 130 after Ctrl-C. What is done is kept.

        Several processes share the images; the first one writes the page.
        """
        try:
            with contextlib.nullcontext() if self.ranks.first else silence():
                return self._run()
        finally:
            self.ranks.close()

    def _run(self) -> int:
        values = self.options.values
        sides = {**self.model.visuals, UNCERTAINTY: self.model.visuals.get(self.model.result, "B")}
        dataset, domains = open_data(self.options, self.run_folder, sides)
        measurement = self._measurement(dataset, domains)
        report = Report(self.options, domains, self.model.result, measurement=measurement, ranks=self.ranks)
        if self.ranks.first:
            with contextlib.suppress(OSError):  # the run may lie where nothing can be written
                save_options(self.options, self.run_folder, "test")
        predictor = predictor_of(self.options, self.model)
        count = min(len(dataset), values["num_test"] or sys.maxsize)
        share = range(self.ranks.rank, count, self.ranks.count)
        code = translate_all(predictor, dataset, share, values["seed"], report)
        code = max(self.ranks.gather_rows({self.ranks.rank: code}).values())
        report.gather()
        if self.ranks.first:
            report.finish(functools.partial(baseline_rows, self.options, dataset))
            print(f"results: {report.folder / 'index.html'}")
        return code

    def _measurement(self, dataset: Any, domains: Domains) -> Measurement | None:
        """Return how outputs are measured, None where there is nothing to measure them against."""
        if not dataset.pairs:
            return None
        return measurement_for(dataset, domains.range("real_B"), load_lpips(self.options.values["lpips_weights"]))


def translate_all(predictor: Predictor, dataset: Any, share: Sequence[int], seed: int, report: Report) -> int:
    """Translate the samples of these numbers into ``report``; return the exit code."""
    names = distinct(dataset.names)
    try:
        for index in tqdm(share, unit="image", dynamic_ncols=True, disable=None):
            if report.take_over(names[index]):
                continue
            try:
                sample = dataset.load(index, torch.Generator().manual_seed(sample_seed(seed, 0, index)))
                report.add(names[index], translate(predictor, sample), sample.get("B_mask"), sample)
            except UserError as error:
                report.fail(str(error))
                tqdm.write(f"skipped: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"interrupted; {len(report)} of {len(share)} images are kept: --skip_existing goes on", file=sys.stderr)
        return 130
    return 1 if report.failures else 0


def translate(predictor: Predictor, sample: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return one sample's images (C,H,W) in [-1,1] by label, inputs included."""
    batch: dict[str, Any] = {side: sample[side][None] for side in ("A", "B") if side in sample}
    return {label: image[0] for label, image in predictor(batch).items()}


def distinct(names: Iterable[str]) -> list[str]:
    """Return the names with ``_2``, ``_3`` and so on behind those that came before."""
    names = list(names)
    taken, result = set(names), []
    seen: set[str] = set()
    for name in names:
        free, number = name, 1
        while free in seen or (number > 1 and free in taken):
            number += 1
            free = f"{name}_{number}"
        seen.add(free)
        result.append(free)
    return result
