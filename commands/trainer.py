"""Resolved options -> a trainer with all its parts."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from typing import Any

import torch

from commands.build import build_dataset, memory_for
from commands.checks import CheckedLoader, SizeCheck
from commands.pruned import prune_from
from commands.validation import make_validations
from data.common import LoaderOptions
from data.loader import EpochLoader, Shard
from data.writers import parse_bands
from models.base import TranslationModel
from options.resolve import Options
from training.indicators import Indicators
from training.loggers import DisplayOptions
from training.memory import free_memory
from training.memory_need import memory_need
from training.previews import Previewer
from training.progressive import ProgressiveLoader, Stage, stages_of
from training.ranks import Ranks
from training.reports import Frequencies, Reporter
from training.run_folder import run_folder
from training.saving import Saver
from training.schedule import total_epochs
from training.settings import OptimizerOptions, SaveOptions, ScheduleOptions, StartOptions, StepOptions
from training.time_budget import TimeBudget, parse_duration
from training.trainer import Loader, Trainer
from training.transfer import freeze, init_from
from training.update import Updater
from util.compute import ComputeOptions
from util.device import choose_compute
from util.weights import local_weights


def prepare_weights(options: Options, model: TranslationModel, *, resume: bool) -> None:
    """Take over the weights of ``--init_from`` or ``--prune_from``, fix those of ``--freeze``; say what was done."""
    start = options.of(StartOptions)
    if start.init_from and not resume:
        given = local_weights(start.init_from, "--init_from")
        source = given if given.exists() else run_folder(options.values["checkpoints_dir"], start.init_from)
        print(init_from(model.networks(), source))
    if start.prune_from and not resume:
        print(prune_from(start.prune_from, options.values["checkpoints_dir"], model))
    if start.freeze:
        print(freeze(model, start.freeze))


def make_updater(options: Options, model: TranslationModel, device: torch.device, ranks: Ranks) -> Updater:
    """Put the model on its device, in the arithmetic that is fastest there; say which and why."""
    compute = ranks.from_first(choose_compute(options.of(ComputeOptions), device))
    compute = dataclasses.replace(compute, device=device)
    print(compute.line())
    compute.place(model)
    optimizing, stepping = options.of(OptimizerOptions), options.of(StepOptions)
    return Updater(model, optimizing, stepping, options.values["seed"], compute, ranks)


def settle(options: Options, updater: Updater, dataset: Any) -> Options:
    """Return the options with what was left open: the precision, and a batch that fits; print the memory it needs."""
    options = options.replace("this machine", precision=updater.compute.precision)
    skip_bad = options.values["on_bad_file"] == "skip"
    one = LoaderOptions(num_threads=0)
    samples = EpochLoader(dataset, one, seed=0, shuffle=False, device=updater.device, skip_bad=skip_bad)
    with memory_for("a first batch", "a smaller --load_size and --crop_size"):
        first = next(CheckedLoader(samples, SizeCheck(options)).epoch(1))
    need, ranks = memory_need(updater, first), updater.ranks
    room = need.fixed + free_memory(updater.device)
    if not options.values["batch_size"]:
        most = max(1, len(dataset) // _STEPS_PER_EPOCH // ranks.count)
        fitting = min(ranks.gather_rows({ranks.rank: need.largest_batch(round(_FILLED * room), most)}).values())
        options = options.replace("--batch_size auto", batch_size=ranks.count * fitting)
    _note_large_batch(options.values["batch_size"], len(dataset))
    at_a_time = -(-options.values["batch_size"] // (ranks.count * options.values["accumulate"]))
    print(_memory_line(need.total(at_a_time), room, options.values["batch_size"]))
    return options


def _note_large_batch(batch_size: int, images: int) -> None:
    if batch_size > images:
        line = (
            f"note: --batch_size {batch_size} is more than the {images} training images, so each batch holds them all"
        )
        print(line, file=sys.stderr)


_STEPS_PER_EPOCH = 8  # at least, however much memory there is
_FILLED = 0.8  # of the free memory is what --batch_size auto plans with


def _memory_line(need: int, room: int, batch_size: int) -> str:
    line = f"memory: about {need / 1e9:.1f} GB at --batch_size {batch_size}, of {room / 1e9:.1f} GB"
    if need <= room:
        return line
    return f"{line}: likely too much; use a smaller --batch_size or --crop_size, --accumulate, --checkpoint_activations"


def make_trainer(options: Options, updater: Updater, dataset: Any, folder: pathlib.Path, age: float) -> Trainer:
    """Wire the trainer; UserError where flags contradict the data or each other.

    Args:
        age: seconds since this session began, which a time budget counts.
    """
    values, schedule, ranks = options.values, options.of(ScheduleOptions), updater.ranks
    bands = parse_bands(values["preview_bands"], max(values["input_nc"], values["output_nc"]))
    previewer = Previewer(updater, updater.compute.precision, _test_norm(values), bands)
    saver = Saver(updater, folder, options.of(SaveOptions))
    validations = make_validations(options, dataset, previewer, saver)
    paired, diagnostics = bool(dataset.pairs), updater.model.diagnostics
    indicators = Indicators(dataset, previewer, values["seed"], paired=paired, diagnostics=diagnostics)
    display = options.of(DisplayOptions)
    frequencies = Frequencies(display.print_freq, display.display_freq, display.update_html_freq)
    reporter = Reporter(frequencies, previewer, updater.model.loss_names, indicators)
    loader = make_loader(options, dataset, updater)
    budget = _budget(schedule, age, ranks, validates=validations is not None)
    return Trainer(updater, loader, schedule, saver, reporter, validations, budget)


def make_loader(options: Options, dataset: Any, updater: Updater) -> Loader:
    """Return the loader of the training split, by stages when there are ``--progressive_sizes``."""
    loaders, values = options.of(LoaderOptions), options.values
    stages = stages_of(options.of(StartOptions))
    shard = Shard(updater.ranks.rank, updater.ranks.count, values["accumulate"])

    check = SizeCheck(options)

    def load(images: Any) -> Loader:
        how = {"shuffle": not values["serial_batches"], "skip_bad": values["on_bad_file"] == "skip"}
        loader = EpochLoader(images, loaders, seed=values["seed"], shard=shard, device=updater.device, **how)
        return CheckedLoader(loader, check)

    def load_stage(stage: Stage) -> Loader:
        size = round(values["load_size"] * stage.crop_size / values["crop_size"])
        changed = options.replace("--progressive_sizes", crop_size=stage.crop_size, load_size=size)
        return load(build_dataset(changed, train=True, ranges=dataset.ranges))

    if not stages:
        return load(dataset)
    return ProgressiveLoader(
        stages, total_epochs(options.of(ScheduleOptions)), load_stage, lambda stage: _enter(stage, updater)
    )


def _enter(stage: Stage, updater: Updater) -> None:
    """Set the weight decay of a stage."""
    if stage.weight_decay is not None:
        for optimizer in updater.optimizers.values():
            optimizer.weight_decay = stage.weight_decay


def _test_norm(values: dict[str, Any]) -> str:
    """Return the statistics of batch norm that test.py will take for this run."""
    return "running" if values["batch_size"] > 1 else "auto"


def _budget(options: ScheduleOptions, age: float, ranks: Ranks, *, validates: bool) -> TimeBudget | None:
    if options.time_budget is None:
        return None
    closing = ("save", "validation") if validates else ("save",)
    return TimeBudget(parse_duration(options.time_budget), closing, age, ranks.clock)
