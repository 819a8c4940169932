"""A trained run or weight file -> something that translates."""

from __future__ import annotations

import json
import pathlib
from typing import Any

from data.value_range import ValueRange
from inference.predictor import Predictor
from inference.translator import Domain, Translator
from models.base import TranslationModel
from models.builder import Builder, Channels
from models.files import load_networks
from models.networks import GENERATORS
from models.networks.foreign import clean_state_dict, infer_generator, load_weights
from models.test_model import OneSided, OneSidedOptions
from options.build import build_model
from options.resolve import Options
from options.test_options import TestOptions, weights_label
from util.device import choose_device
from util.errors import UserError

DATA_FILE = "data.json"


def load_model(options: Options, folder: pathlib.Path) -> TranslationModel:
    """Return the model that test options describe, with the run's weights, on the CPU."""
    model = build_model(options, train=False)
    load_networks(model.networks(), folder, weights_label(options.values["epoch"], options.values["load_iter"]))
    return model


def saved_ranges(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Return the ranges and formats that training saved; empty for runs made elsewhere."""
    path = folder / DATA_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise UserError(f"{path}: damaged; restore it, or delete it and give --value_range") from None


def open_run(path: pathlib.Path, epoch: str, direction: str, gpu_ids: str) -> Translator:
    """Open a run folder for one-sided translation."""
    words = ["--name", path.name, "--checkpoints_dir", str(path.parent), "--dataroot", ".", "--epoch", epoch]
    options = TestOptions().parse([*words, "--model", "test", "--direction", direction])
    predictor = Predictor(load_model(options, path), choose_device(gpu_ids), test_norm=options.values["test_norm"])
    saved = saved_ranges(path)
    sides = ("B", "A") if options.values["model_suffix"] == "_B" else ("A", "B")
    domains = {
        role: Domain(ValueRange.from_dict(saved[side]["range"]), saved[side]["format"]["dtype"])
        for role, side in zip(("A", "B"), sides, strict=True)
        if side in saved
    }
    return Translator(predictor, (options.values["input_nc"], options.values["output_nc"]), domains)


def open_weights(path: pathlib.Path, gpu_ids: str) -> Translator:
    """Open one generator's weight file; its architecture is read off the keys."""
    state = clean_state_dict(load_weights(path))
    name, values, input_nc, output_nc = infer_generator(state)
    choice = GENERATORS.get(name), GENERATORS.options(name)(**values)
    model = OneSided(OneSidedOptions(), Builder({"netG": choice}, Channels(input_nc, output_nc)))
    model.generator.load_state_dict(state)
    return Translator(Predictor(model, choose_device(gpu_ids)), (input_nc, output_nc))
