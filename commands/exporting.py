"""From a run to files for other programs: what export.py does, step by step."""

from __future__ import annotations

import contextlib
import pathlib
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from commands.export_images import ExportImages, check_held_out
from commands.opened_run import load_model, saved_domains
from commands.result_log import written
from data.inputs import Inputs
from inference.domain import Domain
from inference.export.measure import trial_images
from inference.export.parity import RUN, ParityCheck
from inference.export.portable import Description, normalizes_each_image
from inference.export.settings import ExportFileOptions, planned
from inference.export.table import Row, format_table, write_report
from inference.export.writer import Writer, check_packages
from inference.predictor import Predictor
from inference.tiling.informed import seen_by
from models.files import weight_file
from options.export_options import ExportedRunOptions, method_words, words_for_testing
from options.resolve import Options
from options.test_options import TestOptions, weights_label
from training.run_folder import run_folder
from util.errors import UserError
from util.files import atomic_file

_LARGEST_TRIAL = 512  # pixels a side: enough to compare, and fast enough to time


class ExportSession:
    """Open the run at once, so that mistakes show before anything is written; write and compare on :meth:`run`."""

    def __init__(self, options: Options) -> None:
        run, self.files = options.of(ExportedRunOptions), options.of(ExportFileOptions)
        self.plan = planned(self.files)
        check_packages({form for form, _ in self.plan})
        direction = ["--direction", run.direction] if run.direction else []
        self.folder = run_folder(run.checkpoints_dir, run.name or "")
        words = [*words_for_testing(run), *direction, *method_words(self.folder), "--dataroot", "."]
        self.options = TestOptions().parse(words)
        model = load_model(self.options, self.folder)
        self.predictor = Predictor(model, torch.device("cpu"), test_norm=self.options.values["test_norm"])
        self.images = ExportImages(run, self.files, self.options)
        self.output = pathlib.Path(self.files.output).expanduser() if self.files.output else self.folder / "export"

    def run(self) -> int:
        """Write every file that passes and print the table; return 0.

        Raises:
            UserError: a file did not pass, and is not kept; the others are.
        """
        values = self.options.values
        calibration = self._seen(self.images.calibration()) if "int8" in self.files.dtype else []
        held_out, where = self._held_out()
        held_out = self._seen(held_out)
        check_held_out(calibration, held_out)
        side = min(values["crop_size"], _LARGEST_TRIAL)
        trials = trial_images(self._inputs().channels, self.predictor.size_multiple, side)
        parity = ParityCheck(self.predictor, trials, held_out or trials, self.files.min_psnr)
        with staging(self.output) as folder:
            writer = Writer(self.predictor, self._description(), folder, self._stem(), self.files.opset)
            for form, dtype in self.plan:
                print(f"writing {writer.path(form, dtype).name}", flush=True)
                parity.check(writer, form, dtype, writer.write(form, dtype, calibration))
            rows = parity.timed(self._own_row(), trials[0])
            publish([folder / row.file for row in parity.rows], list(parity.refused), self.output)
        self._report(rows, _notes(trials, held_out, where, self.plan))
        if parity.refused:
            raise UserError("; ".join(f"{name} is not kept: {reason}" for name, reason in parity.refused.items()))
        return 0

    def _held_out(self) -> tuple[list[Tensor], str]:
        """Return images to judge on, and where they are from; none for fp16 where there are no data at hand."""
        if set(self.files.dtype) == {"fp32"}:
            return [], ""
        try:
            return self.images.test(), self.files.test or "the test split"
        except UserError:
            if self.files.test is not None or "int8" in self.files.dtype:
                raise
            return [], ""

    def _seen(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return images in [0,1] with what the generator sees beside them."""
        (network,) = self.predictor.networks
        return [seen_by(network, image * 2 - 1) * 0.5 + 0.5 for image in images]

    def _inputs(self) -> Inputs:
        (network,) = self.predictor.networks
        return getattr(network, "inputs", None) or Inputs(self.options.values["input_nc"])

    def _channels(self) -> str:
        if method_words(self.folder):
            return "the image's" if self._inputs().plain else ", ".join(self._inputs().names)
        return "the image's, then its mask: 1 in holes, 0 elsewhere"

    def _weights(self) -> pathlib.Path:
        (network,) = self.predictor.model.networks()
        values = self.options.values
        return weight_file(self.folder, weights_label(values["epoch"], values["load_iter"]), network)

    def _stem(self) -> str:
        return f"{self.options.values['name']}_{self._weights().stem}"

    def _own_row(self) -> Row:
        path = self._weights()
        return Row("PyTorch", "fp32", RUN, path.stat().st_size / 1e6)

    def _description(self) -> Description:
        values, domains = self.options.values, saved_domains(self.options, self.folder)
        source, target = (
            domains.get(side, Domain.whole("uint8", values[flag])).range
            for side, flag in (("A", "input_nc"), ("B", "output_nc"))
        )
        return Description(
            source=f"{values['name']}, {self._weights().name}",
            input_nc=self._inputs().channels,
            output_nc=values["output_nc"],
            channels=self._channels(),
            input_range=f"{source.low} {source.high}",
            output_range=f"{target.low} {target.high}",
            scale=self.predictor.scale,
            size_multiple=self.predictor.size_multiple,
            statistics="of each image" if normalizes_each_image(self.predictor.model) else "of the training",
        )

    def _report(self, rows: Sequence[Row], notes: Sequence[str]) -> None:
        print(format_table(rows, notes))
        write_report(self.output / f"{self._stem()}_export.json", rows, {"notes": list(notes)} | _machine())
        print(f"files: {self.output}")


def _notes(
    trials: Sequence[Tensor], held_out: Sequence[Tensor], where: str, plan: Sequence[tuple[str, str]]
) -> list[str]:
    sizes = ", ".join(f"{len(t)} x {t.shape[-2]} x {t.shape[-1]}" for t in trials)
    notes = [
        f"fp32 compared on made-up images of {sizes}; times are medians for 1 x {trials[0].shape[-2]} x "
        f"{trials[0].shape[-1]} on {torch.get_num_threads()} thread(s)"
    ]
    if any(dtype != "fp32" for _, dtype in plan):
        judged = f"{len(held_out)} images of {where}" if held_out else "the same made-up images, as there are no others"
        notes.append(f"fp16 and int8 compared on {judged}")
    return notes


def _machine() -> dict[str, Any]:
    packages = ("torch", "onnx", "onnxscript", "onnxruntime")
    found = {name: metadata.version(name) for name in packages if _installed(name)}
    return {"threads": torch.get_num_threads(), "machine": platform.machine(), "versions": found}


def _installed(package: str) -> bool:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return bool(metadata.version(package))
    return False


@contextlib.contextmanager
def staging(output: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a folder inside ``output`` that is gone afterwards; UserError when nothing can be written there."""
    with written(output, "name a folder with room by --output"):
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=output) as path:
            yield pathlib.Path(path)


def publish(kept: Sequence[pathlib.Path], refused: Sequence[str], output: pathlib.Path) -> None:
    """Put the kept files in their place, whole or not at all, and remove what earlier exports left of the refused."""
    for path in kept:
        with path.open("rb") as source, atomic_file(output / path.name) as target:
            shutil.copyfileobj(source, target)
    for name in refused:
        (output / name).unlink(missing_ok=True)
