"""A trained run or weight file -> its model, and what its values mean."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

from commands.build import build_model
from inference.domain import Domain
from models.base import TranslationModel
from models.files import load_into, load_networks, weight_file
from options.resolve import Options
from options.test_options import first_folder, weights_label
from util.errors import UserError
from util.weights import local_weights

DATA_FILE = "data.json"


def folder_of(options: Options) -> pathlib.Path:
    """Return the run's folder, of several the first; with ``--weights`` that of the results, where no run lies."""
    values = options.values
    if values["weights"]:
        return pathlib.Path(values["results_dir"]) / values["name"]
    return first_folder(values)


def load_model(options: Options, folder: pathlib.Path) -> TranslationModel:
    """Return the model that test options describe, with the run's weights, on the CPU."""
    model, values = build_model(options, train=False), options.values
    if values["weights"]:
        return _with_weights(model, local_weights(values["weights"], "--weights"))
    label = weights_label(values["epoch"], values["load_iter"])
    averaged = _averaged(model.networks(), folder, label, values.get("average"))
    load_networks({averaged.get(name, name): net for name, net in model.networks().items()}, folder, label)
    return model


def _with_weights(model: TranslationModel, path: pathlib.Path) -> TranslationModel:
    networks = model.networks()
    if len(networks) > 1:
        raise UserError(f"--weights {path}: one network, and --model wants {', '.join(networks)}; leave --model out")
    for network in networks.values():
        load_into(network, path)
    return model


def _averaged(networks: Iterable[str], folder: pathlib.Path, label: str, wanted: bool | None) -> dict[str, str]:
    """Return the names under which averaged weights are kept, by network; UserError when they are wanted and absent."""
    names = {name: f"{name}_ema" for name in networks} if wanted is not False else {}
    found = {name: ema for name, ema in names.items() if weight_file(folder, label, ema).is_file()}
    if wanted and not found:
        raise UserError(f"--average: no averaged weights of --epoch {label} in {folder}; train with --ema_decay 0.999")
    if found:
        print("averaged weights (--average false for the plain ones)", file=sys.stderr)
    return found


def saved_ranges(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Return the ranges and formats that training saved; empty for runs made elsewhere."""
    path = folder / DATA_FILE
    try:
        entries = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return {side: entry for side, entry in entries.items() if Domain.from_dict(entry)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(f"{path}: damaged; restore it, or delete it and give --value_range") from None


def saved_domains(options: Options, folder: pathlib.Path) -> dict[str, Domain]:
    """Return what training kept; the two sides change places for the generator that translates back."""
    back = {"A": "B", "B": "A"} if options.values.get("model_suffix") == "_B" else {}
    return {back.get(side, side): Domain.from_dict(entry) for side, entry in saved_ranges(folder).items()}
