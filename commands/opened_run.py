"""A trained run or weight file -> something that translates."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from commands.build import build_model
from inference.domain import Domain
from inference.engines.engines import Calibration, Engines
from inference.export.settings import ExportFileOptions
from inference.predictor import Predictor
from inference.settings import EngineOptions, InferenceOptions
from inference.translator import Translator
from models.base import TranslationModel
from models.files import load_into, load_networks, weight_file
from models.test_model import OneSided
from options.export_options import ExportedRunOptions
from options.resolve import Options
from options.test_options import TestOptions, weights_label
from training.run_folder import run_folder
from util.device import choose_device
from util.errors import UserError

DATA_FILE = "data.json"


def folder_of(options: Options) -> pathlib.Path:
    """Return the run's folder; with ``--weights`` that of the results, where nothing of a run lies."""
    values = options.values
    if values["weights"]:
        return pathlib.Path(values["results_dir"]) / values["name"]
    return run_folder(values["checkpoints_dir"], values["name"])


def load_model(options: Options, folder: pathlib.Path) -> TranslationModel:
    """Return the model that test options describe, with the run's weights, on the CPU."""
    model, values = build_model(options, train=False), options.values
    if values["weights"]:
        return _with_weights(model, pathlib.Path(values["weights"]))
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


def open_run(path: pathlib.Path, epoch: str, direction: str | None, gpu_ids: str) -> Translator:
    """Open a run folder for one-sided translation, in fp32."""
    words = ["--name", path.name, "--checkpoints_dir", str(path.parent), "--dataroot", ".", "--epoch", epoch]
    words += ["--precision", "fp32"]
    side = ["--direction", direction] if direction else []
    return translator_of(TestOptions().parse([*words, "--model", "test", "--gpu_ids", gpu_ids, *side]), path)


def translator_of(options: Options, folder: pathlib.Path) -> Translator:
    """Return what translates single images by the generator that test options describe."""
    channels, domains = (options.values["input_nc"], options.values["output_nc"]), saved_domains(options, folder)
    predictor = predictor_of(options, load_model(options, folder))
    return Translator(predictor, channels, domains, luma=_sees_luma(options, predictor, domains))


def _sees_luma(options: Options, predictor: Predictor, domains: Mapping[str, Domain]) -> bool:
    """Return whether the network takes Y alone: as the run says, or a weight file that enlarges one channel."""
    if not options.values["weights"]:
        return any(domain.luma for domain in domains.values())
    return predictor.scale > 1 and options.values["input_nc"] == options.values["output_nc"] == 1


def predictor_of(options: Options, model: TranslationModel) -> Predictor:
    """Return a model ready for inference as test options say."""
    values, device = options.values, choose_device(options.values["gpu_ids"])
    engines = Engines(options.of(EngineOptions), device, _calibration(options, model))
    return Predictor(model, device, "fp32", values["test_norm"], options.of(InferenceOptions), engines)


def _calibration(options: Options, model: TranslationModel) -> Calibration | None:
    """Return what loads the images that int8 is calibrated on; None for models of several generators."""
    if not isinstance(model, OneSided):
        return None

    def load() -> list[dict[str, Tensor]]:
        from commands.export_images import ExportImages  # which opens data sets by way of this module

        values = options.values
        names = [field.name for field in dataclasses.fields(ExportedRunOptions)]
        run = ExportedRunOptions(**{name: values[name] for name in names})
        images = ExportImages(run, ExportFileOptions(calibration=values["calibration"]), options)
        return [{"A": image * 2 - 1} for image in images.calibration()]

    return load


def open_weights(path: pathlib.Path, gpu_ids: str) -> Translator:
    """Open one generator's weight file in fp32; its architecture is read off the keys."""
    words = ["--weights", str(path), "--dataroot", ".", "--precision", "fp32", "--gpu_ids", gpu_ids]
    options = TestOptions().parse(words)
    return translator_of(options, folder_of(options))
