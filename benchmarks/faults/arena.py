"""Tiny trainings to disturb: their data, their commands, and whether two of them ended alike."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.faults.process import Training
from data.writers import write_image
from training.checkpoint import FILE, NEW, PREVIOUS, load_state
from training.loggers.jsonl import read
from util.errors import UserError

TINY = (
    "--netG resnet_6blocks --ngf 4 --ndf 4 --preprocess none --gpu_ids -1 --no_html --display_id 0 --print_freq 1 "
    "--n_epochs 1 --n_epochs_decay 1 --save_epoch_freq 1 --val_freq 0"
)
IMAGES, SIDE = 6, 32


@dataclass(frozen=True)
class Setup:
    """One kind of training: its name, its flags, after how many images it saves, and on how many processes it runs."""

    name: str
    flags: str
    save_every: int
    ranks: int = 1


def write_data(root: pathlib.Path) -> None:
    """Write 6 pairs and 2 to validate on, and two folders of 6 and 5 images, of 32 x 32 pixels each."""
    random = np.random.default_rng(0)
    pairs, images = (("train", IMAGES), ("val", 2)), (("trainA", IMAGES), ("trainB", IMAGES - 1))
    for folder, count, width in [(*pair, 2 * SIDE) for pair in pairs] + [(*image, SIDE) for image in images]:
        for number in range(count):
            corners = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
            write_image(
                root / folder / f"{number}.png", np.kron(corners, np.ones((SIDE // 2, width // 2, 1), np.uint8))
            )


class Arena:
    """The folder of one training that is disturbed and continued.

    Args:
        root: holds the data.
        setup: what is trained.
        name: of the run.
        runs: takes the run.
    """

    def __init__(self, root: pathlib.Path, setup: Setup, name: str, runs: pathlib.Path) -> None:
        self.root, self.setup, self.name = root, setup, name
        self.folder, self.output = runs / name, root / f"{name}.txt"
        self.output.unlink(missing_ok=True)

    def start(self, *more: str, prepare: Callable[[], None] | None = None) -> Training:
        """Start train.py, going on where a save can be gone on with."""
        where = ["--dataroot", self.root, "--checkpoints_dir", self.folder.parent, "--name", self.name]
        words = f"{TINY} {self.setup.flags} --save_latest_freq {self.setup.save_every}".split()
        goes_on = ["--continue_train"] if self.steps_saved() else []
        return Training([*map(str, where), *words, *goes_on, *more], self.output, prepare, self.setup.ranks)

    def steps_saved(self) -> int:
        """Return the steps in the newest readable state, 0 without one."""
        with contextlib.redirect_stderr(io.StringIO()):
            try:
                return load_state(self.folder)["position"][2]
            except UserError:
                return 0

    def steps_made(self) -> int:
        """Return the steps that the log knows of."""
        records = read(self.folder / "losses.jsonl")
        return records[-1]["step"] if records else 0

    def wait_for_step(self, step: int, training: Training) -> bool:
        """Wait until a step is in the log; return False when the training ends before."""
        while training.running() and self.steps_made() < step:
            time.sleep(0.002)
        return training.running()

    def stopped_in_a_save(self) -> bool:
        """Return whether files are half written, or weight files older than the state they follow from."""
        state = self.folder / FILE
        if not state.exists():
            return (self.folder / PREVIOUS).exists() or (self.folder / NEW).exists() or any(self.folder.glob(".*.tmp"))
        weights = min((p.stat().st_mtime_ns for p in self.folder.glob("latest_net_*.pth")), default=0)
        return (self.folder / NEW).exists() or any(self.folder.glob(".*.tmp")) or weights < state.stat().st_mtime_ns

    def differences(self, other: Arena) -> list[str]:
        """Return where this finished run differs from another: state, weight files, logs, things left behind."""
        ours, theirs = _everything(self.folder), _everything(other.folder)
        return [name for name in sorted(ours.keys() | theirs.keys()) if not _equal(ours.get(name), theirs.get(name))]

    def is_finite(self) -> bool:
        """Return whether every weight is a number."""
        files = [torch.load(path, weights_only=True) for path in self.folder.glob("latest_net_*.pth")]
        return bool(files) and all(bool(v.isfinite().all()) for file in files for v in file.values())

    def remove(self) -> None:
        """Delete the run and whatever of it was moved aside."""
        for path in [self.folder, *self.folder.parent.glob(f"{self.name}.old*")]:
            shutil.rmtree(path, ignore_errors=True)


def _everything(folder: pathlib.Path) -> dict[str, Any]:
    """Return all that must be equal, by name."""
    found: dict[str, Any] = {path.name: "left behind" for path in folder.glob(".*")}
    found |= {p.name: torch.load(p, weights_only=True) for p in [*folder.glob("*_net_*.pth"), folder / FILE]}
    found[FILE].pop("reporter", None)  # when pictures were made, which only the faults of pages and windows ask for
    found[FILE]["update"].pop("guard", None)  # it counts bad steps, those that were repeated too
    found["losses.jsonl"] = [_timeless(record) for record in read(folder / "losses.jsonl")]
    found["loss_log.txt"] = list(_lines(folder / "loss_log.txt"))
    return found


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("time", "data")}


def _lines(path: pathlib.Path) -> Iterator[str]:
    for line in path.read_text().splitlines():
        if not line.startswith("="):
            yield re.sub(r"time: [\d.]+, data: [\d.]+", "", line)


def _equal(ours: Any, theirs: Any) -> bool:
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, torch.Tensor):
        return ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    if isinstance(ours, dict):
        return list(ours) == list(theirs) and all(_equal(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(map(_equal, ours, theirs))
    return ours == theirs
