"""The images that int8 files are calibrated on, and the other ones that files are judged on."""

from __future__ import annotations

import hashlib
import pathlib
from typing import Any

import torch
from torch import Tensor

from commands.domains import open_data
from commands.opened_run import saved_domains
from data.loader import sample_seed
from data.value_range import spread
from inference.export.settings import ExportFileOptions
from options.export_options import ExportedRunOptions, method_words, words_for_testing
from options.resolve import Options
from options.saved import recorded
from options.test_options import TestOptions
from training.run_folder import run_folder
from util.errors import UserError

_FLAGS = {"train": "--calibration", "test": "--test"}


class ExportImages:
    """Inputs of one generator as test.py would prepare them: (1,C,H,W) in [0,1].

    Args:
        one_sided: the resolved options of the generator, with ``--model test``.
    """

    def __init__(self, run: ExportedRunOptions, files: ExportFileOptions, one_sided: Options) -> None:
        self.run, self.files, self.one_sided = run, files, one_sided
        self.folder = run_folder(run.checkpoints_dir, run.name or "")

    def calibration(self) -> list[Tensor]:
        """Return images to calibrate on: of ``--calibration``, else of the training split of the run's data."""
        return self._load(*self._dataset(self.files.calibration, "train"))

    def test(self) -> list[Tensor]:
        """Return images to judge on: of ``--test``, else of the test split of the run's data."""
        return self._load(*self._dataset(self.files.test, "test"))

    def _dataset(self, folder: str | None, phase: str) -> tuple[Any, str]:
        """Return a data set, and the side of it that the generator translates."""
        words = words_for_testing(self.run)
        if folder is not None:
            if not pathlib.Path(folder).expanduser().exists():
                raise UserError(f"{_FLAGS[phase]} {folder}: no such folder; name one of images")
            direction = ["--direction", self.run.direction] if self.run.direction else []
            method = method_words(self.folder)
            options = TestOptions().parse([*words, *direction, *method, "--dataroot", folder])
            sides = {"real": "A", "fake": "B"} if method else {"A": "A", "B": "B"}
            return open_data(options, saved_domains(options, self.folder), sides)[0], "A"
        options = TestOptions().parse([*words, "--dataroot", str(self._dataroot(phase)), "--phase", phase])
        if options.values["model"] == "test":
            raise UserError(
                f"{self.folder}: nothing says which images it was trained on; name a folder: {_FLAGS[phase]}"
            )
        side = "B" if self.one_sided.values.get("model_suffix") == "_B" else "A"
        return open_data(options, saved_domains(options, self.folder), {"A": "A", "B": "B"})[0], side

    def _dataroot(self, phase: str) -> pathlib.Path:
        root = self.files.dataroot or recorded(self.folder, "dataroot")
        if root is None or not pathlib.Path(root).expanduser().exists():
            found = "its options do not say" if root is None else f"{root} is not there"
            raise UserError(f"the run's data set: {found}; name it by --dataroot, or a folder by {_FLAGS[phase]}")
        return pathlib.Path(root)

    def _load(self, dataset: Any, side: str) -> list[Tensor]:
        chosen = spread(range(len(dataset)), self.files.num_images)
        samples = (dataset.load(i, torch.Generator().manual_seed(sample_seed(0, 0, i))) for i in chosen)
        images = [sample[side][None] * 0.5 + 0.5 for sample in samples]
        return list({_digest(image): image for image in images}.values())  # unpaired sides of unequal length repeat


def check_held_out(calibration: list[Tensor], test: list[Tensor]) -> None:
    """UserError when an image to judge on is one that was calibrated on."""
    known = {_digest(image) for image in calibration}
    shared = sum(_digest(image) in known for image in test)
    if shared:
        raise UserError(
            f"{shared} of the {len(test)} images of --test are among those of --calibration; "
            "a figure on them says nothing: give different folders"
        )


def _digest(image: Tensor) -> bytes:
    return hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()
