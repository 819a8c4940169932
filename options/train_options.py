"""The flags of train.py."""

from __future__ import annotations

import pathlib
from typing import Any

from data.common import CommonDataOptions, LoaderOptions
from models.networks.common import AroundOptions
from options.base_options import BaseOptions, RunOptions, check_value_range, root_flags
from options.resolve import Options, Source
from options.saved import check_identity, load_options, saved_source
from options.schema import Component
from training.loggers.options import DisplayOptions
from training.run_folder import restarted_by_torchrun, run_folder
from training.schedule import milestones
from training.settings import (
    OptimizerOptions,
    SaveOptions,
    ScheduleOptions,
    StartOptions,
    StepOptions,
    ValidationOptions,
)
from training.time_budget import parse_duration
from util.compute import ComputeOptions
from util.errors import UserError


class TrainOptions(BaseOptions):
    """Command line of training; ``--continue_train`` restores all flags of the run."""

    script = "train.py"
    summary = "Train a model. Example: python train.py --model pix2pix --dataroot datasets/facades --name facades"

    def roots(self) -> list[Component]:
        return [
            Component("run", RunOptions),
            Component("computing", ComputeOptions),
            Component("data", CommonDataOptions),
            Component("around the generator", AroundOptions),
            Component("loading", LoaderOptions),
            Component("optimizer", OptimizerOptions),
            Component("memory and bad numbers", StepOptions),
            Component("schedule", ScheduleOptions),
            Component("start", StartOptions),
            Component("saving", SaveOptions),
            Component("validation", ValidationOptions),
            Component("display", DisplayOptions),
        ]

    def extra_sources(self, early: RunOptions, given: dict[str, Any]) -> list[Source]:
        folder = run_folder(early.checkpoints_dir, early.name)
        again = restarted_by_torchrun(folder)
        if not (_continues(given) or again):
            return []
        saved = load_options(folder)
        if saved is None:
            raise UserError(f"--continue_train: no run in {folder}; check --name and --checkpoints_dir")
        source = saved_source(folder, saved)
        return [source, Source("torchrun", {"continue_train": True})] if again else [source]

    def of_other_scripts(self) -> dict[str, str]:
        from options.test_options import TestOptions

        return root_flags(TestOptions())

    def finish(self, options: Options) -> Options:
        values = options.values
        if "," in values["name"]:
            raise UserError(f"--name {values['name']}: a comma means several runs to test.py; use - or _ in its place")
        if values["dataroot"] is None:
            raise UserError("--dataroot is missing: name the folder of the images, such as --dataroot datasets/facades")
        if values["n_epochs"] + values["n_epochs_decay"] == 0:
            raise UserError("--n_epochs 0 and --n_epochs_decay 0: nothing to train; give one of them")
        if values["epoch_count"] > values["n_epochs"] + values["n_epochs_decay"]:
            raise UserError(
                f"--epoch_count {values['epoch_count']} lies beyond the last epoch, --n_epochs {values['n_epochs']} + "
                f"--n_epochs_decay {values['n_epochs_decay']}"
            )
        if values.get("netG") == "pretrained" and values["init_from"] is None:
            raise UserError("--netG pretrained is the network of a weight file: name the file by --init_from")
        _check_schedule(options)
        check_value_range(options)
        crops = values["preprocess"] in ("resize_and_crop", "scale_width_and_crop")
        if crops and values["load_size"] < values["crop_size"]:
            if options.sources["load_size"] != "default":
                raise UserError(
                    f"--load_size {values['load_size']} is smaller than --crop_size {values['crop_size']}; "
                    f"set --load_size {values['crop_size']} or more"
                )
            options = options.replace("--crop_size", load_size=round(values["crop_size"] * 286 / 256))
        folder = run_folder(values["checkpoints_dir"], values["name"])
        if values["continue_train"]:
            check_identity(load_options(folder) or {}, options, folder)
            options = _from_own_weights(options, folder)
        return options


def _continues(given: dict[str, Any]) -> bool:
    return "continue_train" in given and str(given["continue_train"]).lower() not in ("false", "no", "off", "0")


def _from_own_weights(options: Options, folder: pathlib.Path) -> Options:
    """Let the run itself tell what its network is; the file that it began from may be gone or changed by now."""
    own = folder / "latest_net_G.pth"
    if options.values.get("netG") == "pretrained" and own.is_file():
        return options.replace("the run's own weights", init_from=str(own))
    return options


def _check_schedule(options: Options) -> None:
    """Refuse texts that are no steps or times, and stages that cannot be, before anything is built."""
    schedule, values = options.of(ScheduleOptions), options.values
    milestones(schedule)
    if schedule.time_budget is not None:
        parse_duration(schedule.time_budget)
    if not values["progressive_sizes"]:
        return
    sizes = f"--progressive_sizes {','.join(values['progressive_sizes'])}"
    if schedule.time_budget is not None:
        raise UserError(f"{sizes}: they divide a number of epochs, so leave out --time_budget {schedule.time_budget}")
    if "crop" not in values["preprocess"]:
        raise UserError(f"{sizes}: nothing is cropped by --preprocess {values['preprocess']}; use resize_and_crop")
