"""The flags of export.py."""

from __future__ import annotations

import dataclasses
import pathlib

from inference.export.settings import ExportFileOptions, planned
from options.base_options import BaseOptions
from options.resolve import Options
from options.saved import load_options
from options.schema import Component
from options.test_options import run_fills_holes
from training.run_folder import run_folder
from util.errors import UserError
from util.option import option


@dataclasses.dataclass(frozen=True)
class ExportedRunOptions:
    """Which generator of which run."""

    name: str | None = option(None, "run to export", "session")
    checkpoints_dir: str = option("./checkpoints", "folder of all runs", "session")
    epoch: str = option("latest", "which saved weights to export: latest, or an epoch's number", "session")
    load_iter: int = option(0, "export the weights that --save_by_iter kept at this image", "session", minimum=0)
    direction: str | None = option(
        None, "which generator of a two-sided run; none: as trained", "session", choices=("AtoB", "BtoA")
    )
    test_norm: str = option(
        "auto",
        "statistics of batch norm in the file: batch = each image's own, running = the training's; auto as in test.py",
        "session",
        choices=("auto", "batch", "running"),
    )
    config: str | None = option(None, "YAML file of flags, one 'flag: value' per line", "session")
    plugin: tuple[str, ...] = option((), "Python files of your own that the run needs, by commas", "session")


class ExportOptions(BaseOptions):
    """Command line of exporting; everything about the network comes from the run."""

    script = "export.py"
    summary = (
        "Write a trained run for other programs. Example: python export.py --name facades --format onnx,torch_export"
    )

    def roots(self) -> list[Component]:
        return [Component("run", ExportedRunOptions), Component("files", ExportFileOptions)]

    def finish(self, options: Options) -> Options:
        values = options.values
        if not values["name"]:
            raise UserError("--name is missing: name the run to export")
        folder = run_folder(values["checkpoints_dir"], values["name"])
        if not folder.is_dir():
            raise UserError(f"{folder}: no such run; check --name and --checkpoints_dir")
        planned(options.of(ExportFileOptions))
        return options


def words_for_testing(run: ExportedRunOptions) -> list[str]:
    """Return the words by which test.py would open the same run, without the method and the data."""
    words = ["--name", run.name or "", "--checkpoints_dir", run.checkpoints_dir, "--epoch", run.epoch]
    words += ["--load_iter", str(run.load_iter), "--test_norm", run.test_norm]
    return words + (["--plugin", ",".join(run.plugin)] if run.plugin else [])


def method_words(folder: pathlib.Path) -> list[str]:
    """Return the words that open the one generator of a run; one that fills holes opens as it was trained."""
    return [] if run_fills_holes(load_options(folder) or {}) else ["--model", "test"]
