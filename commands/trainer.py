"""Resolved options -> a trainer with all its parts."""

from __future__ import annotations

import pathlib
from typing import Any

import torch

from commands.build import build_dataset
from commands.validation import make_validations
from data.common import LoaderOptions
from data.loader import EpochLoader
from models.base import TranslationModel
from options.resolve import Options
from training.indicators import Indicators
from training.loggers import DisplayOptions
from training.previews import Previewer
from training.progressive import ProgressiveLoader, Stage, stages_of
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


def prepare_weights(options: Options, model: TranslationModel, *, resume: bool) -> None:
    """Take over the weights of ``--init_from`` and fix those of ``--freeze``; say what was done."""
    start = options.of(StartOptions)
    if start.init_from and not resume:
        given = pathlib.Path(start.init_from)
        source = given if given.exists() else run_folder(options.values["checkpoints_dir"], start.init_from)
        print(init_from(model.networks(), source))
    if start.freeze:
        print(freeze(model, start.freeze))


def make_trainer(
    options: Options, model: TranslationModel, dataset: Any, folder: pathlib.Path, device: torch.device, age: float
) -> Trainer:
    """Put the model on its device and wire the trainer; UserError where flags contradict the data or each other.

    Args:
        age: seconds since this session began, which a time budget counts.
    """
    values, schedule = options.values, options.of(ScheduleOptions)
    compute = choose_compute(options.of(ComputeOptions), device)
    compute.place(model)
    updater = Updater(model, options.of(OptimizerOptions), options.of(StepOptions), values["seed"], compute)
    previewer = Previewer(updater, compute.precision, _test_norm(values))
    saver = Saver(updater, folder, options.of(SaveOptions))
    validations = make_validations(options, dataset, previewer, saver)
    indicators = Indicators(dataset, previewer, values["seed"], paired=bool(dataset.pairs))
    display = options.of(DisplayOptions)
    frequencies = Frequencies(display.print_freq, display.display_freq, display.update_html_freq)
    reporter = Reporter(frequencies, previewer, model.loss_names, indicators)
    loader = make_loader(options, dataset, updater)
    budget = _budget(schedule, age, validates=validations is not None)
    return Trainer(updater, loader, schedule, saver, reporter, validations, budget)


def make_loader(options: Options, dataset: Any, updater: Updater) -> Loader:
    """Return the loader of the training split, by stages when there are ``--progressive_sizes``."""
    loaders, values = options.of(LoaderOptions), options.values
    stages = stages_of(options.of(StartOptions))

    def load(images: Any) -> EpochLoader:
        shuffle = not values["serial_batches"]
        return EpochLoader(images, loaders, seed=values["seed"], shuffle=shuffle, device=updater.device)

    def load_stage(stage: Stage) -> EpochLoader:
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
            for group in optimizer.adam.param_groups:
                group["weight_decay"] = stage.weight_decay


def _test_norm(values: dict[str, Any]) -> str:
    """Return the statistics of batch norm that test.py will take for this run."""
    return "running" if values["batch_size"] > 1 else "auto"


def _budget(options: ScheduleOptions, age: float, *, validates: bool) -> TimeBudget | None:
    if options.time_budget is None:
        return None
    closing = ("save", "validation") if validates else ("save",)
    return TimeBudget(parse_duration(options.time_budget), closing, age)
