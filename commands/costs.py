"""What runs cost and how good they are: a large one, and what was distilled, pruned or quantized of it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from commands.build import count_parameters
from commands.domains import open_data
from commands.opened_run import load_model, saved_domains
from data.loader import sample_seed
from evaluation.measurement import Sample, measurement_for
from evaluation.metrics import mean_row
from evaluation.table import format_number, sorted_metrics, title
from inference.export.measure import Runner, Times, median_times, runner_of
from inference.export.onnx_file import open_onnx
from inference.predictor import Predictor
from inference.tiling.informed import seen_by
from models.files import weight_file
from options.resolve import Options
from options.test_options import TestOptions
from training.run_folder import run_folder
from util.errors import UserError

Row = dict[str, float]


@dataclass(frozen=True)
class Candidate:
    """One way to compute a translation: a run, or a file made of it.

    Args:
        run: as an image in [0,1] -> one in [0,1].
        megabytes: of its file, in millions of bytes.
    """

    name: str
    run: Runner
    parameters: int
    megabytes: float


@dataclass(frozen=True)
class Cost:
    """What was measured of a candidate."""

    candidate: Candidate
    times: Times
    quality: Row


def measure_costs(names: Sequence[str], checkpoints_dir: str, dataroot: str | None, count: int) -> list[Cost]:
    """Return the costs of runs, each followed by its int8 file where export.py has written one.

    Args:
        names: of runs that translate the same images.
        dataroot: whose test split tells the quality; its first image is timed.
        count: the most images to measure.

    Raises:
        UserError: a run or the images cannot be opened, or there is no target to measure against.
    """
    if not dataroot or count < 1:
        raise UserError("--cost: give --dataroot, the images that tell the quality, and --num_images 1 or more")
    found: list[tuple[Candidate, Row]] = []
    image: Tensor | None = None
    for name in map(str.strip, names):
        images = TestImages(name, checkpoints_dir, dataroot, count)
        image = images.first if image is None else image
        found += [(candidate, images.quality(candidate.run)) for candidate in candidates(name, checkpoints_dir)]
    assert image is not None
    times = median_times({candidate.name: candidate.run for candidate, _ in found}, image)
    return [Cost(candidate, times[candidate.name], quality) for candidate, quality in found]


def _opened(name: str, checkpoints_dir: str, *more: str) -> tuple[Options, pathlib.Path]:
    words = ["--name", name, "--checkpoints_dir", checkpoints_dir, "--gpu_ids", "-1", *more]
    return TestOptions().parse(words), run_folder(checkpoints_dir, name)


def candidates(name: str, checkpoints_dir: str) -> Iterator[Candidate]:
    """Yield a run, and its int8 file where there is one."""
    options, folder = _opened(name, checkpoints_dir, "--model", "test", "--dataroot", ".")
    model = load_model(options, folder)
    (label, network), *_ = model.networks().items()
    parameters, path = count_parameters(network), weight_file(folder, "latest", label)
    predictor = Predictor(model, torch.device("cpu"), test_norm=options.values["test_norm"])
    yield Candidate(name, runner_of(predictor), parameters, path.stat().st_size / 1e6)
    path = folder / "export" / f"{name}_{path.stem}_int8.onnx"  # of these weights; others may lie beside it
    if path.is_file() and not _sees_patches(network):
        yield Candidate(f"{name}, int8", _seeing(network, open_onnx(path)), parameters, path.stat().st_size / 1e6)


def _sees_patches(network: Any) -> bool:
    """Return whether a network translates an image in parts, which a file of it alone does not."""
    return bool(getattr(getattr(network, "inputs", None), "context", 0))


def _seeing(network: Any, run: Runner) -> Runner:
    """Return a file of a network as a function of images alone: what it sees beside them is made first."""
    return lambda image: run(seen_by(network, image * 2 - 1) * 0.5 + 0.5)


class TestImages:
    """The test split as a run sees it, and how its results are measured."""

    __test__ = False  # not a test case

    def __init__(self, name: str, checkpoints_dir: str, dataroot: str, count: int) -> None:
        options, folder = _opened(name, checkpoints_dir, "--dataroot", dataroot)
        sides = {"real_A": "A", "fake_B": "B", "real_B": "B"}
        self.dataset, self.domains = open_data(options, saved_domains(options, folder), sides)
        if not self.dataset.pairs:
            raise UserError(f"--dataroot {dataroot}: there are no targets for --name {name}, so quality has no measure")
        self.samples = [self._sample(index) for index in range(min(count, len(self.dataset)))]
        self.measurement = measurement_for(self.dataset, self.domains.range("real_B"), None)

    def _sample(self, index: int) -> dict[str, Any]:
        return self.dataset.load(index, torch.Generator().manual_seed(sample_seed(0, 0, index)))

    @property
    def first(self) -> Tensor:
        """Return the first image, (1,C,H,W) in [0,1]."""
        return self.samples[0]["A"][None] * 0.5 + 0.5

    def quality(self, run: Runner) -> Row:
        """Return the mean metrics of what a candidate makes of the images."""
        measured = (self._measured(run, sample) for sample in self.samples)
        return mean_row([self.measurement.measure(each, beside=False)[0] for each in measured])

    def _measured(self, run: Runner, sample: dict[str, Any]) -> Sample:
        fake = run(sample["A"][None] * 0.5 + 0.5)[0] * 2 - 1
        tensors = {"real_A": sample["A"], "fake_B": fake, "real_B": sample["B"]}
        masks = {"real_B": sample.get("B_mask")}
        values = {label: self.domains.values(label, image, masks.get(label)) for label, image in tensors.items()}
        source = self.domains.range("real_B").restore(sample["A"].permute(1, 2, 0).numpy())
        return Sample(values, "fake_B", source, sample)


def format_costs(costs: Sequence[Cost]) -> str:
    """Return a Markdown table: size, latency and quality, each beside how it relates to the first row's."""
    metrics = sorted_metrics([cost.quality for cost in costs])
    head = ["", "parameters", "MB", "ms", "CPU ms", "speed", *(title(metric) for metric in metrics)]
    rows = [head, ["---"] * len(head)]
    for cost in costs:
        speed = costs[0].times.processor / cost.times.processor if cost.times.processor else 1.0
        sizes = [f"{cost.candidate.parameters:,}", f"{cost.candidate.megabytes:.1f}"]
        times = [f"{cost.times.wall:.0f}", f"{cost.times.processor:.0f}", f"{speed:.2f}x"]
        quality = [format_number(metric, cost.quality[metric]) for metric in metrics]
        rows.append([cost.candidate.name, *sizes, *times, *quality])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
