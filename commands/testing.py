"""From resolved options to a results folder: what test.py does, step by step."""

from __future__ import annotations

import contextlib
import errno
import functools
import sys
from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm

from commands.baselines import baseline_rows
from commands.build import describe_networks
from commands.domains import open_data, tell_of_folds, tell_of_split
from commands.joined_runs import open_named
from commands.made_by import check_same, made_by, record
from commands.opened_run import folder_of
from commands.report import Report, results_folder
from commands.result_log import written
from data.listing import distinct
from data.loader import sample_seed
from evaluation.measurement import Measurement, measurement_for
from evaluation.metrics import load_lpips
from inference.domains import Domains
from inference.predictor import UNCERTAINTY, Predictor
from inference.tiling.memory import is_out_of_memory
from inference.time_budget import fit, record_share, recorded_share, use
from options.resolve import Options
from options.saved import format_options, save_options
from options.test_options import members_of
from training.best import LABEL, describe_best
from training.ranks import join_ranks, silence
from training.time_budget import parse_duration
from util.device import choose_device
from util.errors import UserError

_JUDGED = 4  # images by which the arithmetic is settled


class TestingSession:
    """Open the run at once, so that ``--dry_run`` can stop there, and translate on :meth:`run`."""

    __test__ = False  # not a test case

    def __init__(self, options: Options) -> None:
        self.options, values = options, options.values
        if values["output"] is not None:
            raise UserError(f"--output {values['output']}: only with --input; those of --dataroot go to --results_dir")
        self.run_folder = folder_of(options)
        print(format_options(options, everything=values["dry_run"] or values["verbose"]), end="")
        self.ranks = join_ranks(choose_device(values["gpu_ids"]))
        self.opened = open_named(options)
        self.model = self.opened.ensemble.members[0].model
        for member in self.opened.ensemble.members:
            print(describe_networks(member.model, values["verbose"]))
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
        dataset, domains = self._open_data()
        if self.ranks.first:
            with contextlib.suppress(OSError):  # the run may lie where nothing can be written
                save_options(self.options, self.run_folder, "test")
        makers = self._made_by()
        predictor = self.opened.predictor()
        count = min(len(dataset), values["num_test"] or sys.maxsize)
        arithmetic = self._settle(predictor, dataset, count) + self._fit(predictor, dataset, count)
        measurement = self._measurement(dataset, domains)
        with written(results_folder(self.options), "make room for it, and --skip_existing goes on"):
            report = Report(
                self.options,
                domains,
                self.model.result,
                measurement=measurement,
                ranks=self.ranks,
                arithmetic=arithmetic,
                truth=self.model.truth,
            )
            if self.ranks.first:
                record(report.folder, makers)  # only now, when the log of other makers is gone
            share = range(self.ranks.rank, count, self.ranks.count)
            stop = values["on_bad_file"] == "stop"
            code = translate_all(predictor, dataset, share, values["seed"], report, stop=stop)
            code = max(self.ranks.gather_rows({self.ranks.rank: code}).values())
            report.gather()
            if self.ranks.first:
                report.finish(functools.partial(baseline_rows, self.options, dataset))
                print(f"results: {report.folder / 'index.html'}")
        return code

    def _open_data(self) -> tuple[Any, Domains]:
        """Return the images and what their values mean, and tell what a user may not expect of them."""
        sides = {**self.model.visuals, UNCERTAINTY: self.model.visuals.get(self.model.result, "B")}
        dataset, domains = open_data(self.options, self.opened.domains, sides)
        tell_of_split(self.options, self.run_folder, dataset)
        tell_of_folds(members_of(self.options), self.run_folder, dataset)
        if not dataset.pairs and any(domain.luma for domain in self.opened.domains.values()):
            print("note: brightness alone; --input FOLDER --output FOLDER gives results in colour", file=sys.stderr)
        return dataset, domains

    def _made_by(self) -> dict[str, Any]:
        """Return what makes the images; UserError where those that are to be kept were made otherwise."""
        now = made_by(self.options, (member.model for member in self.opened.ensemble.members))
        if self.options.values["skip_existing"]:
            check_same(results_folder(self.options), now)
        return now

    def _measurement(self, dataset: Any, domains: Domains) -> Measurement | None:
        """Return how outputs are measured, None where there is nothing to measure them against."""
        if not dataset.pairs:
            return None
        if self.model.truth not in self.model.visuals:
            mode = self.options.values["dataset_mode"]
            method = "sr" if mode == "super_resolution" else "pix2pix"
            raise UserError(f"--dataset_mode {mode} has targets to measure against; add --model {method}")
        return measurement_for(dataset, domains.range("real_B"), load_lpips(self.options.values["lpips_weights"]))

    def _settle(self, predictor: Predictor, dataset: Any, count: int) -> str:
        """Settle by the first images of the data set what computes all of them, and return that in words.

        They are the same after an interruption and on all processes, which follow the first one.
        """
        batches = first_batches(dataset, count, self.options.values["seed"])
        predictor.settle(batches, count)
        engines = predictor.engines
        if engines is None or engines.choice is None:
            return "fp32"
        engines.agree(self.ranks.from_first)
        return engines.choice.describe()

    def _fit(self, predictor: Predictor, dataset: Any, count: int) -> str:
        """Choose what fits into ``--time_budget``, alike on all processes, and return it in words.

        An interrupted test that is taken up goes on with what it has begun with.
        """
        values = self.options.values
        if values["time_budget"] is None:
            return ""
        known = recorded_share(results_folder(self.options)) if values["skip_existing"] else None
        batches, own = first_batches(dataset, count, values["seed"]), -(-count // self.ranks.count)
        share = self.ranks.from_first(known or fit(predictor, batches, own, parse_duration(values["time_budget"])))
        if self.ranks.first:
            record_share(results_folder(self.options), share)
        return f", {use(predictor, share)}"


def first_batches(dataset: Any, count: int, seed: int) -> list[dict[str, Any]]:
    """Return the first images that can be read, as the predictor takes them, up to four."""
    batches: list[dict[str, Any]] = []
    for index in range(min(count, 4 * _JUDGED)):
        with contextlib.suppress(UserError, MemoryError, RuntimeError):  # reported in its turn
            sample = dataset.load(index, torch.Generator().manual_seed(sample_seed(seed, 0, index)))
            batches.append(batch_of(sample))
        if len(batches) == _JUDGED:
            break
    return batches


def batch_of(sample: dict[str, Any]) -> dict[str, Any]:
    """Return a sample as a batch of one."""
    return {side: sample[side][None] for side in ("A", "B") if side in sample}


def translate_all(
    predictor: Predictor, dataset: Any, share: Sequence[int], seed: int, report: Report, *, stop: bool = False
) -> int:
    """Translate the samples of these numbers into ``report``; return the exit code.

    UserError at the first file that cannot be read with ``--on_bad_file stop``; otherwise it is named.
    """
    names = distinct(dataset.names)
    try:
        for index in tqdm(share, unit="image", dynamic_ncols=True, disable=None):
            if report.take_over(names[index]):
                continue
            try:
                sample = dataset.load(index, torch.Generator().manual_seed(sample_seed(seed, 0, index)))
                report.add(names[index], translate(predictor, sample), sample.get("B_mask"), sample)
            except (UserError, OSError, MemoryError, RuntimeError) as error:
                reason = _failure(error, names[index])
                if reason is None:
                    raise
                if stop:
                    raise UserError(reason) from None
                report.fail(reason)
                tqdm.write(f"skipped: {reason}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"interrupted; {len(report)} of {len(share)} images are kept: --skip_existing goes on", file=sys.stderr)
        return 130
    return 1 if report.failures else 0


def _failure(error: Exception, name: str) -> str | None:
    """Return why one image failed; None where the next ones would too, or where the program is at fault."""
    if isinstance(error, UserError):
        return str(error)
    if is_out_of_memory(error):
        return f"{name}: out of memory"
    too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
    return f"{name}: too long a name for results, which add to it" if too_long else None


def translate(predictor: Predictor, sample: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return one sample's images (C,H,W) in [-1,1] by label, inputs included; UserError naming its file."""
    try:
        return {label: image[0] for label, image in predictor(batch_of(sample)).items()}
    except UserError as error:
        raise UserError(f"{sample['A_paths']}: {error}") from None
