"""Resolved options -> the validation of a training, where there is something to validate on."""

from __future__ import annotations

from typing import Any

import torch

from commands.build import build_dataset
from data.loader import sample_seed
from data.protocol import Labels
from evaluation.metrics import load_lpips
from evaluation.structure import has_all_scales
from inference.domains import Domains
from options.resolve import Options
from training.previews import Previewer
from training.saving import Saver
from training.settings import ValidationOptions
from training.validation import Validations
from training.validator import Validator
from util.errors import UserError

_USUAL_FREQUENCY = 5  # epochs


def make_validations(options: Options, training: Any, previewer: Previewer, saver: Saver) -> Validations | None:
    """Return the validation that the flags and the data ask for, said in one line; None where there is none.

    Args:
        training: the training images, whose value ranges hold here too.

    Raises:
        UserError: flags ask for what cannot be measured.
    """
    chosen = options.of(ValidationOptions)
    dataset = _open(options, chosen, training)
    if dataset is None:
        if chosen.early_stop:
            raise UserError(
                f"--early_stop {chosen.early_stop}: nothing is validated; add a val split, and no --val_freq 0"
            )
        return None
    _check(options, chosen, paired=bool(dataset.pairs))
    frequency = chosen.val_freq or _USUAL_FREQUENCY
    count = min(len(dataset), chosen.val_images or len(dataset))
    lpips = load_lpips(chosen.lpips_weights) if dataset.pairs else None
    domains = Domains(dataset.ranges, dataset.formats, previewer.updater.model.visuals)
    validator = Validator(dataset, domains, previewer, options.values["seed"], count, chosen.best_metric, lpips)
    if dataset.pairs and (reason := _unmeasurable(validator)):
        raise UserError(f"--best_metric {chosen.best_metric}: {reason}")
    best = f"best by {chosen.best_metric}" if dataset.pairs else "pictures only, since there are no pairs to measure"
    print(f"validation: {count} images of phase val every {frequency} epochs, {best}; --val_freq 0 for none")
    return Validations(validator, saver, chosen, frequency)


def _unmeasurable(validator: Validator) -> str:
    """Return why the data or the machine cannot give the metric that decides; empty where they can."""
    metric, protocol = validator.metric, getattr(validator.dataset, "protocol", None)
    if metric == "lpips" and validator.lpips is None:
        return "there are no weights for it; name a file by --lpips_weights"
    if metric == "accuracy" and not isinstance(protocol, Labels):
        return "only --dataset_mode labelled has classes to be right about"
    if metric.endswith("_y") and not hasattr(protocol, "luma"):
        return "only --dataset_mode super_resolution is measured in Y"
    if metric == "ms_ssim" and not validator.has_target(has_all_scales):
        return "no image of the val split has more than 160 pixels a side; use ssim"
    return ""


def _open(options: Options, chosen: ValidationOptions, training: Any) -> Any:
    """Return the val split, or None: by ``--val_freq 0``, or left to the data, which has none of its own."""
    if chosen.val_freq == 0:
        return None
    try:
        dataset = _open_phase(options, "val", training)
    except UserError as error:
        if chosen.val_freq is None:
            return None
        raise UserError(f"--val_freq {chosen.val_freq}: {error}") from None
    if chosen.val_freq is None and _is_the_test_split(options, dataset, training):
        return None
    return dataset


def _open_phase(options: Options, phase: str, training: Any) -> Any:
    size = options.values["crop_size"]
    values = {"phase": phase, "no_flip": True, "serial_batches": True, "max_dataset_size": None, "load_size": size}
    return build_dataset(options.replace("validation", **values), train=False, ranges=training.ranges)


def _is_the_test_split(options: Options, dataset: Any, training: Any) -> bool:
    """Return whether test.py measures on the same images, as in a folder that is split by names."""
    try:
        return _first_file(dataset) == _first_file(_open_phase(options, "test", training))
    except UserError:
        return False


def _first_file(dataset: Any) -> str:
    return dataset.load(0, torch.Generator().manual_seed(sample_seed(0, 0, 0)))["A_paths"]


def _check(options: Options, chosen: ValidationOptions, *, paired: bool) -> None:
    given = f"--early_stop {chosen.early_stop}" if chosen.early_stop else f"--best_metric {chosen.best_metric}"
    usual = options.flags["best_metric"].default  # a saved run gives it too, so its source tells nothing
    if not paired and (chosen.early_stop or chosen.best_metric != usual):
        raise UserError(f"{given}: the val split has no pairs, so there is nothing to measure; leave it out")
