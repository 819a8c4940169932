"""The flags of serve.py."""

from __future__ import annotations

import dataclasses

from inference.server.settings import ServerOptions
from inference.settings import EngineOptions, InferenceOptions
from options.base_options import BaseOptions
from options.resolve import Options
from options.schema import Component
from options.test_options import as_words
from training.run_folder import run_folder
from util.errors import UserError
from util.option import option


@dataclasses.dataclass(frozen=True)
class ServedRunsOptions:
    """Which runs, which machine."""

    name: tuple[str, ...] = option((), "run to serve, or several by commas", "session")
    checkpoints_dir: str = option("./checkpoints", "folder of all runs", "session")
    epoch: str = option("latest", "which saved weights to load: latest, or an epoch's number", "session")
    direction: str | None = option(
        None, "which way a two-sided run translates; none: as trained", "session", choices=("AtoB", "BtoA")
    )
    gpu_ids: str = option(
        "0", "GPU to use, or several by commas, one worker on each; -1 for the CPU; without a GPU the CPU", "session"
    )
    plugin: tuple[str, ...] = option((), "Python files of your own that the runs need, by commas", "session")
    config: str | None = option(None, "YAML file of flags, one 'flag: value' per line", "session")


class ServeOptions(BaseOptions):
    """Command line of the server; everything about the networks comes from the runs."""

    script = "serve.py"
    summary = "Translate images in the browser and over HTTP. Example: python serve.py --name facades"

    def roots(self) -> list[Component]:
        return [
            Component("runs", ServedRunsOptions),
            Component("server", ServerOptions),
            Component("computing", EngineOptions),
            Component("large images and averages", InferenceOptions),
        ]

    def finish(self, options: Options) -> Options:
        values = options.values
        if not any(values["name"]):
            raise UserError("--name is missing: name the run to serve, or several by commas")
        if len(set(values["name"])) < len(values["name"]):
            raise UserError(f"--name {','.join(values['name'])}: a run is named twice; name each once")
        for name in values["name"]:
            folder = run_folder(values["checkpoints_dir"], name)
            if not folder.is_dir():
                raise UserError(f"{folder}: no such run; check --name and --checkpoints_dir")
        if values["ensemble"] and len(values["name"]) == 1:
            raise UserError(f"--ensemble {values['ensemble']} joins runs: name several by commas, such as --name a,b")
        for flag in ("classifier_weights", "classifier_names"):
            if values[flag] and not values["classifier"]:
                raise UserError(f"--{flag}: name the architecture too, such as --classifier resnet50")
        _check_classifier_run(values["classifier_run"], values["classifier"], values["checkpoints_dir"])
        return options


def _check_classifier_run(name: str | None, other: str | None, checkpoints_dir: str) -> None:
    if name is None:
        return
    if other is not None:
        raise UserError(f"--classifier_run {name}: leave out --classifier {other}, or this flag")
    if not (folder := run_folder(checkpoints_dir, name)).is_dir():
        raise UserError(f"--classifier_run {name}: no such run ({folder}); check it and --checkpoints_dir")


def words_for_testing(options: Options, name: str, gpu: str) -> list[str]:
    """Return the words by which test.py would open one of the runs, for one image at a time and on one device."""
    runs = options.of(ServedRunsOptions)
    flags: dict[str, object] = {"name": name, "checkpoints_dir": runs.checkpoints_dir, "epoch": runs.epoch}
    flags |= {"input": ".", "gpu_ids": gpu, "direction": runs.direction}
    flags |= {"plugin": runs.plugin or None}
    flags |= dataclasses.asdict(options.of(InferenceOptions)) | dataclasses.asdict(options.of(EngineOptions))
    if name in runs.name:
        flags["ensemble"] = None  # which is served beside its members
    return as_words({flag: value for flag, value in flags.items() if value is not None})


def words_for_classifying(options: Options, name: str, gpu: str) -> list[str]:
    """Return the words by which test.py would open a run of --model classify, with all that it was trained with."""
    runs = options.of(ServedRunsOptions)
    flags: dict[str, object] = {"name": name, "checkpoints_dir": runs.checkpoints_dir, "dataroot": ".", "gpu_ids": gpu}
    flags |= {"precision": "fp32", "plugin": runs.plugin or None}
    return as_words({flag: value for flag, value in flags.items() if value is not None})
