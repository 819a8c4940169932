"""From resolved options to a results folder: what test.py does, step by step."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from data.loader import sample_seed
from data.value_range import ValueRange
from data.writers import FileFormat, preview, write_image
from evaluation.lpips_distance import load_lpips
from evaluation.metrics import MetricTable, evaluate_pair
from evaluation.page import ResultsPage
from inference.outputs import stretch, to_file_values
from inference.predictor import Predictor
from options.baselines import baseline_rows
from options.build import build_dataset, describe_networks
from options.opened_run import load_model, saved_ranges
from options.resolve import Options
from options.saved import format_options, save_options
from options.test_options import ResultOptions
from training.run_folder import run_folder
from util.device import choose_device
from util.errors import UserError


class TestingSession:
    """Open the run at once, so that ``--dry_run`` can stop there, and translate on :meth:`run`."""

    __test__ = False  # not a test case

    def __init__(self, options: Options) -> None:
        self.options, values = options, options.values
        self.results = options.of(ResultOptions)
        self.run_folder = run_folder(values["checkpoints_dir"], values["name"])
        print(format_options(options), end="")
        self.model = load_model(options, self.run_folder)
        print(describe_networks(self.model, values["verbose"]))

    def run(self) -> int:
        """Translate every image; return 0, 1 when some files failed, or 130 after Ctrl-C. What is done is kept."""
        saved = _Saved(saved_ranges(self.run_folder))
        dataset = build_dataset(self.options, train=False, ranges=saved.ranges)
        folder = self._results_folder()
        save_options(self.options, folder, "test")
        values = self.options.values
        predictor = Predictor(self.model, choose_device(values["gpu_ids"]), values["precision"], self.results.test_norm)
        writer = _Writer(folder, self.model.visuals, dataset, saved, self.options)
        code = writer.translate_all(predictor)
        writer.finish()
        print(f"results: {folder / 'index.html'}")
        return code

    def _results_folder(self) -> pathlib.Path:
        values = self.options.values
        label = f"{values['phase']}_{values['epoch']}"
        if values["load_iter"]:
            label += f"_iter{values['load_iter']}"
        return pathlib.Path(self.results.results_dir) / values["name"] / label


class _Saved:
    """What training kept about the values of both domains."""

    def __init__(self, entries: dict[str, Any]) -> None:
        self.ranges = {side: ValueRange.from_dict(entry["range"]) for side, entry in entries.items()} or None
        self.formats = {side: FileFormat(**entry["format"]) for side, entry in entries.items()}


class _Writer:
    """Translate samples in order; write images, rows of metrics and the page as they come."""

    def __init__(
        self, folder: pathlib.Path, visuals: Any, dataset: Any, saved: _Saved, options: Options
    ) -> None:
        self.folder, self.visuals, self.dataset, self.options = folder, visuals, dataset, options
        self.results = options.of(ResultOptions)
        self.ranges = dataset.ranges | {} if saved.ranges is None else dataset.ranges | saved.ranges
        self.formats = saved.formats | dataset.formats
        self.table, self.identity = MetricTable(), MetricTable()
        self.lpips = load_lpips(self.results.lpips_weights) if dataset.pairs else None
        title = f"{options.values['name']}: {options.values['phase']}, epoch {options.values['epoch']}"
        self.page = ResultsPage(folder, title, self.results.display_winsize, options.values, options.sources)
        self.failures: list[str] = []

    def translate_all(self, predictor: Predictor) -> int:
        """Return the exit code."""
        count = min(len(self.dataset), self.results.num_test or sys.maxsize)
        try:
            for index in tqdm(range(count), unit="image", dynamic_ncols=True, disable=None):
                self._survive(index, predictor)
        except KeyboardInterrupt:
            print(f"interrupted; {len(self.page)} of {count} images are kept", file=sys.stderr)
            return 130
        return 1 if self.failures else 0

    def _survive(self, index: int, predictor: Predictor) -> None:
        try:
            self._translate(index, predictor)
        except UserError as error:
            self.failures.append(str(error))
            tqdm.write(f"skipped: {error}", file=sys.stderr)

    def _translate(self, index: int, predictor: Predictor) -> None:
        random = torch.Generator().manual_seed(sample_seed(self.options.values["seed"], 0, index))
        sample = self.dataset.load(index, random)
        batch = {key: value[None] for key, value in sample.items() if isinstance(value, torch.Tensor)}
        tensors = {label: image[0] for label, image in predictor(batch).items()}
        images = {label: self._values(label, image) for label, image in tensors.items()}
        row = self._measure(sample["names"], tensors, images)
        shown = {label: preview(image, self._range(label)) for label, image in images.items()}
        files = {label: self._write(sample["names"], label, image) for label, image in images.items()}
        self.page.add(sample["names"], files, shown, row)

    def _values(self, label: str, image: torch.Tensor) -> np.ndarray:
        side = self._side(label)
        dtype = self.formats[side].dtype if side in self.formats else self.formats["A"].dtype
        return to_file_values(image, self._range(label), dtype)

    def _measure(
        self, name: str, tensors: dict[str, torch.Tensor], images: dict[str, np.ndarray]
    ) -> dict[str, float]:
        if not self.dataset.pairs or "real_B" not in images:
            return {}
        target, value_range = images["real_B"], self._range("real_B")
        row = evaluate_pair(images["fake_B"], target, value_range, self.lpips)
        self.table.add(name, row)
        if images["real_A"].shape == target.shape:
            unchanged = self._values("real_B", tensors["real_A"])
            self.identity.add(name, evaluate_pair(unchanged, target, value_range, self.lpips))
        return row

    def _write(self, name: str, label: str, image: np.ndarray) -> pathlib.Path:
        suffix = FileFormat(image.dtype.name, image.shape[2]).suffix
        path = self.folder / "images" / f"{name}_{label}{suffix}"
        write_image(path, stretch(image, self.results.aspect_ratio))
        return path

    def _side(self, label: str) -> str:
        return self.visuals[label]

    def _range(self, label: str) -> ValueRange:
        side = self._side(label)
        return self.ranges[side] if side in self.ranges else self.ranges["A"]

    def finish(self) -> None:
        """Print and write the metrics beside the baselines, and write the page."""
        if self.table.rows:
            self._add_baselines()
            self.table.write(self.folder)
            print(self.table.format_table())
        self.page.finish(self.table)

    def _add_baselines(self) -> None:
        if self.identity.rows:
            self.table.add_baseline("input unchanged", self.identity.summary())
        for name, row in baseline_rows(self.options, self.dataset).items():
            self.table.add_baseline(name, row)
