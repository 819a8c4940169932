"""Translated images -> files, metrics and the page of a results folder."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from data.writers import FileFormat, preview, write_image
from evaluation.metrics import MetricTable, evaluate_pair, load_lpips
from evaluation.page import ResultsPage
from inference.domains import Domains
from inference.outputs import stretch
from options.resolve import Options
from options.test_options import ResultOptions

Row = dict[str, float]
Baselines = Callable[[Sequence[str]], dict[str, Row]]


def results_folder(options: Options) -> pathlib.Path:
    """Return ``<results_dir>/<name>/<phase>_<epoch>[_iter<N>]``."""
    values = options.values
    label = f"{values['phase']}_{values['epoch']}"
    if values["load_iter"]:
        label += f"_iter{values['load_iter']}"
    return pathlib.Path(values["results_dir"]) / values["name"] / label


class Report:
    """Writes image by image; metrics and page at the end.

    Args:
        paired: whether each output has a target to be measured against.
    """

    def __init__(self, options: Options, domains: Domains, *, paired: bool) -> None:
        values, self.folder, self.domains = options.values, results_folder(options), domains
        self.aspect_ratio = options.of(ResultOptions).aspect_ratio
        title = f"{values['name']}: {values['phase']}, epoch {values['epoch']}"
        self.page = ResultsPage(self.folder, title, values["display_winsize"], values, options.sources)
        self.table, self.unchanged = MetricTable(), MetricTable()
        self.paired, self.lpips = paired, load_lpips(values["lpips_weights"]) if paired else None

    def __len__(self) -> int:
        return len(self.page)

    def add(self, name: str, tensors: Mapping[str, Tensor], mask: Tensor | None = None) -> None:
        """Write one sample's images and measure them.

        Args:
            tensors: (C,H,W) in [-1,1] by label.
            mask: (1,H,W), 0 where the target is unknown; such pixels are written as NaN and not measured.
        """
        masks = {"real_B": mask}
        images = {label: self.domains.values(label, image, masks.get(label)) for label, image in tensors.items()}
        row = self._measure(name, tensors, images) if self.paired and "real_B" in images else {}
        self._keep(name, {label: stretch(image, self.aspect_ratio) for label, image in images.items()}, row)

    def _measure(self, name: str, tensors: Mapping[str, Tensor], images: Mapping[str, np.ndarray]) -> Row:
        target, value_range = images["real_B"], self.domains.range("real_B")
        row = evaluate_pair(images["fake_B"], target, value_range, self.lpips)
        self.table.add(name, row)
        if images["real_A"].shape == target.shape:
            unchanged = self.domains.values("real_B", tensors["real_A"])
            self.unchanged.add(name, evaluate_pair(unchanged, target, value_range, self.lpips))
        return row

    def _keep(self, name: str, images: Mapping[str, np.ndarray], row: Row) -> None:
        files = {label: self._file(name, label, image) for label, image in images.items()}
        for label, image in images.items():
            write_image(files[label], image)
        previews = {label: preview(image, self.domains.range(label)) for label, image in images.items()}
        self.page.add(name, files, previews, row)

    def _file(self, name: str, label: str, image: np.ndarray) -> pathlib.Path:
        suffix = FileFormat(image.dtype.name, image.shape[2]).suffix
        return self.folder / "images" / f"{name}_{label}{suffix}"

    def finish(self, baselines: Baselines) -> None:
        """Print and write the metrics beside the baselines of the measured images, and write the page."""
        if self.table.rows:
            if self.unchanged.rows:
                self.table.add_baseline("input unchanged", self.unchanged.summary())
            for name, row in baselines(list(self.table.rows)).items():
                self.table.add_baseline(name, row)
            print(self.table.format_table())
        self.table.write(self.folder)
        self.page.finish(self.table)
