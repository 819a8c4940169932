"""From resolved options to a finished training: what train.py does, step by step."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import Any

from commands.build import build_dataset, build_model, describe_data, describe_networks
from commands.checks import check_crops, check_data, check_networks, check_pretrained
from commands.opened_run import DATA_FILE, saved_ranges
from commands.teacher import teacher_folder
from commands.trainer import make_trainer, make_updater, prepare_weights, settle
from data.value_range import ValueRange
from options.resolve import Options
from options.saved import format_options, save_options
from training.loggers import DisplayOptions, LoggerGroup, RunInfo, make_loggers
from training.loggers.estimate import Estimate, smaller_command
from training.ranks import join_ranks, silence
from training.run_folder import fresh_folder, only_trainer, run_folder
from training.schedule import total_epochs
from training.trainer import Trainer
from util.device import choose_device
from util.files import write_text


class TrainingSession:
    """Open the data and build the model at once, and train on :meth:`run`; ``--dry_run`` needs no data.

    Args:
        began: when the program started, by ``time.monotonic``; a time budget counts from there.
    """

    def __init__(self, options: Options, began: float | None = None) -> None:
        self.options, values = options, options.values
        self.began = time.monotonic() if began is None else began
        self.folder = run_folder(values["checkpoints_dir"], values["name"])
        self.dataset: Any = None if values["dry_run"] else self._open_data()
        self.device = choose_device(values["gpu_ids"])
        self.ranks = join_ranks(self.device)
        check_pretrained(options)
        self.model = build_model(options, train=True)
        check_networks(options, self.model)
        check_crops(options)
        if self.dataset is not None:
            check_data(options, self.model, self.dataset)
        print(format_options(options, everything=values["dry_run"] or values["verbose"]), end="")
        print(describe_networks(self.model, values["verbose"]))

    def _open_data(self) -> Any:
        """Open the training images, on resume with the ranges the run began with, with a teacher in its ranges."""
        values, saved = self.options.values, {}
        if values["continue_train"]:
            saved = saved_ranges(self.folder)
        elif values.get("teacher"):
            saved = saved_ranges(teacher_folder(values["teacher"], values["checkpoints_dir"]))
        ranges = {side: ValueRange.from_dict(entry["range"]) for side, entry in saved.items()}
        return build_dataset(self.options, train=True, ranges=ranges or None)

    def run(self) -> int:
        """Restore or start, train; return the exit code. UserError when another process trains this run.

        Of several processes only the first writes files and talks.
        """
        try:
            with only_trainer(self.folder) if self.ranks.first else silence():
                resume = self.options.values["continue_train"] and not self._never_saved()
                return self._train(self.ranks.from_first(resume))
        finally:
            self.ranks.close()

    def _never_saved(self) -> bool:
        """Return whether the run was killed before its first save, so that going on means to begin again."""
        if any(self.folder.glob("state*.pth")) or any(self.folder.glob("*_net_*.pth")):
            return False
        print(f"{self.folder}: stopped before its first save; it begins again")
        return True

    def _train(self, resume: bool) -> int:
        dataset = self.dataset
        several = f", on {self.ranks.count} processes" if self.ranks.count > 1 else ""
        print(f"{len(dataset)} training images in {self.options.values['dataroot']}{several}")
        prepare_weights(self.options, self.model, resume=resume)
        updater = make_updater(self.options, self.model, self.device, self.ranks)
        options = self.options = settle(self.options, updater, dataset)
        trainer = make_trainer(options, updater, dataset, self.folder, time.monotonic() - self.began)
        if resume:
            trainer.resume()
        seconds = [] if trainer.is_done else trainer.rehearse()
        info = self._facts(trainer, self._steps_left(trainer, seconds))
        self._announce(trainer, info, seconds)
        loggers = make_loggers(options.of(DisplayOptions)) if self.ranks.first else LoggerGroup([])
        if self.ranks.first:
            self._prepare_folder(fresh=not resume)  # only now, when all that can fail at the start has not
        loggers.start(info)
        try:
            return trainer.fit(loggers)
        except KeyboardInterrupt:
            loggers.close_seconds = 0.5  # a second Ctrl-C leaves at once
            raise
        finally:
            loggers.close()

    def _prepare_folder(self, *, fresh: bool) -> None:
        if fresh:
            fresh_folder(self.folder)
            write_text(self.folder / DATA_FILE, json.dumps(describe_data(self.dataset), indent=1))
        save_options(self.options, self.folder, "train")

    def _steps_left(self, trainer: Trainer, seconds: list[float]) -> int:
        """Return how many steps will be done; with a time budget as the measured ``seconds`` of some steps tell."""
        position, batch_size = trainer.position, self.options.values["batch_size"]
        if trainer.budget:
            steps = trainer.budget.steps_left(Estimate.measure(seconds, 1).step_seconds) if seconds else 0
        else:
            epochs = total_epochs(trainer.options) - position.epoch + 1
            steps = epochs * self._steps_per_epoch() - -(-position.iters // batch_size)
        return max(0, min(steps, (trainer.options.max_steps or sys.maxsize) - position.step))

    def _steps_per_epoch(self) -> int:
        return -(-len(self.dataset) // self.options.values["batch_size"])

    def _announce(self, trainer: Trainer, info: RunInfo, seconds: list[float]) -> None:
        """Print before step 1 how long it will take, with a smaller command when that is too long, or what fits."""
        if trainer.is_done:
            print(f"this run is complete: {_more(trainer)}")
            return
        estimate = Estimate.measure(seconds, info.total_steps - trainer.position.step)
        if trainer.budget:
            policy = trainer.options.lr_policy
            print(trainer.budget.plan(estimate.step_seconds, self._steps_per_epoch(), policy))
            return
        print(estimate.line())
        advice = smaller_command(estimate, self.options.values, f"python {shlex.join(sys.argv)}")
        if advice:
            print(advice)

    def _facts(self, trainer: Trainer, steps: int) -> RunInfo:
        values, position, images = self.options.values, trainer.position, len(self.dataset)
        left = images * (total_epochs(trainer.options) - position.epoch + 1) - position.iters
        planned = steps * values["batch_size"]
        images_left = planned if trainer.budget else min(left, planned)
        last_epoch = position.epoch + (position.iters + images_left - 1) // images
        return RunInfo(
            self.folder,
            values["name"],
            values["model"],
            values,
            self.options.sources,
            total_steps=position.step + steps,
            total_images=position.total_iters + max(0, images_left),
            images_per_epoch=images,
            n_epochs=max(position.epoch, last_epoch) if trainer.budget else total_epochs(trainer.options),
            start=position,
        )


def _more(trainer: Trainer) -> str:
    """Return what would let a complete run train on."""
    if trainer.validations and trainer.validations.best.is_exhausted:
        best = trainer.validations.best
        return f"{best.state['stale']} validations without a better {best.metric}; raise --early_stop to train on"
    if trainer.budget:
        return "its time is used up; raise --time_budget to train on"
    return "raise --n_epochs, --n_epochs_decay or --max_steps to train on"
