"""From resolved options to a finished training: what train.py does, step by step."""

from __future__ import annotations

import json
import pathlib
import shlex
import sys
from typing import Any

import torch

from commands.build import build_dataset, build_model, describe_data, describe_networks
from commands.opened_run import DATA_FILE, saved_ranges
from data.common import LoaderOptions
from data.loader import EpochLoader
from data.value_range import ValueRange
from models.base import TranslationModel
from options.resolve import Options
from options.saved import format_options, save_options
from training.loggers import DisplayOptions, RunInfo, make_loggers
from training.loggers.estimate import Estimate, smaller_command
from training.previews import Previewer
from training.run_folder import fresh_folder, only_trainer, run_folder
from training.schedule import total_epochs
from training.settings import OptimizerOptions, SaveOptions, ScheduleOptions
from training.trainer import Frequencies, Trainer
from training.update import Updater
from util.device import choose_device
from util.files import write_text


class TrainingSession:
    """Open the data and build the model at once, and train on :meth:`run`; ``--dry_run`` needs no data."""

    def __init__(self, options: Options) -> None:
        self.options, values = options, options.values
        self.folder = run_folder(values["checkpoints_dir"], values["name"])
        self.dataset: Any = None if values["dry_run"] else self._open_data()
        self.device = choose_device(values["gpu_ids"])
        self.model = build_model(options, train=True)
        print(format_options(options, everything=values["dry_run"] or values["verbose"]), end="")
        print(describe_networks(self.model, values["verbose"]))

    def _open_data(self) -> Any:
        """Open the training images, on resume with the ranges the run began with."""
        saved = saved_ranges(self.folder) if self.options.values["continue_train"] else {}
        ranges = {side: ValueRange.from_dict(entry["range"]) for side, entry in saved.items()}
        return build_dataset(self.options, train=True, ranges=ranges or None)

    def run(self) -> int:
        """Restore or start, train; return the exit code. UserError when another process trains this run."""
        with only_trainer(self.folder):
            return self._train(self.options.values["continue_train"])

    def _train(self, resume: bool) -> int:
        options, values, dataset = self.options, self.options.values, self.dataset
        print(f"{len(dataset)} training images in {values['dataroot']}")
        loaders = options.of(LoaderOptions)
        loader = EpochLoader(dataset, loaders, seed=values["seed"], shuffle=not values["serial_batches"])
        trainer = make_trainer(options, self.model, loader, self.folder, self.device)
        if resume:
            trainer.resume()
        info = self._facts(trainer, len(dataset), self.folder)
        self._announce(trainer, info.total_steps)
        loggers = make_loggers(options.of(DisplayOptions))
        if not resume:  # only now, when all that can fail at the start has not
            fresh_folder(self.folder)
            write_text(self.folder / DATA_FILE, json.dumps(describe_data(dataset), indent=1))
        save_options(options, self.folder, "train")
        loggers.start(info)
        try:
            return trainer.fit(loggers)
        finally:
            loggers.close()

    def _facts(self, trainer: Trainer, images: int, folder: pathlib.Path) -> RunInfo:
        schedule, position = self.options.of(ScheduleOptions), trainer.position
        values, batch_size = self.options.values, self.options.values["batch_size"]
        epochs_left = total_epochs(schedule) - position.epoch + 1
        steps_left = max(0, epochs_left * -(-images // batch_size) - -(-position.iters // batch_size))
        steps = min(position.step + steps_left, schedule.max_steps or sys.maxsize)
        images_left = min(epochs_left * images - position.iters, (steps - position.step) * batch_size)
        return RunInfo(
            folder,
            values["name"],
            values["model"],
            values,
            self.options.sources,
            total_steps=steps,
            total_images=position.total_iters + max(0, images_left),
            images_per_epoch=images,
            n_epochs=total_epochs(schedule),
            start=position,
        )

    def _announce(self, trainer: Trainer, steps: int) -> None:
        """Print the estimated time before step 1, with a smaller command when it is too long."""
        remaining = steps - trainer.position.step
        if remaining <= 0:
            print("this run is complete: raise --n_epochs, --n_epochs_decay or --max_steps to train on")
            return
        estimate = Estimate.measure(trainer.rehearse(), remaining)
        print(estimate.line())
        advice = smaller_command(estimate, self.options.values, f"python {shlex.join(sys.argv)}")
        if advice:
            print(advice)


def make_trainer(
    options: Options, model: TranslationModel, loader: EpochLoader, folder: pathlib.Path, device: torch.device
) -> Trainer:
    """Put the model on its device and wire the trainer."""
    values, display = options.values, options.of(DisplayOptions)
    updater = Updater(model.to(device), options.of(OptimizerOptions), values["seed"], values["precision"])
    return Trainer(
        model,
        updater,
        loader,
        folder,
        options.of(ScheduleOptions),
        options.of(SaveOptions),
        Frequencies(display.print_freq, display.display_freq, display.update_html_freq),
        Previewer(device, values["precision"]),
    )
