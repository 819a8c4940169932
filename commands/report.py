"""Translated images -> files, metrics and the page of a results folder."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from commands.result_log import Finished, ResultLog
from data.value_range import ValueRange
from data.writers import FileFormat, parse_bands, preview, write_image
from evaluation.inception import load_features
from evaluation.measurement import Beside, Measurement, Row, Sample, Values
from evaluation.metrics import MetricTable
from evaluation.page import ResultsPage
from evaluation.perceptual import PerceptualDistance
from evaluation.sets import SetComparison
from inference.domains import Domains
from inference.outputs import stretch
from options.resolve import Options
from options.test_options import ResultOptions
from training.ranks import Ranks
from util.files import write_text

Baselines = Callable[[Sequence[str]], dict[str, Row]]


def results_folder(options: Options) -> pathlib.Path:
    """Return ``<results_dir>/<name>/<phase>_<epoch>[_iter<N>][_<ensemble>][_x8][_mc<N>]``."""
    values = options.values
    label = f"{values['phase']}_{values['epoch']}"
    if values["load_iter"]:
        label += f"_iter{values['load_iter']}"
    if values["ensemble"]:
        label += f"_{values['ensemble']}"
    if values["tta"] != "none":
        label += f"_{values['tta']}"
    if values["mc_dropout"]:
        label += f"_mc{values['mc_dropout']}"
    return pathlib.Path(values["results_dir"]) / values["name"] / label


class Report:
    """Writes image by image; metrics and page at the end.

    Args:
        result: the label that is measured against ``truth``.
        measurement: how outputs are measured; None where they have no targets.
        ranks: the processes that share the images; the first one makes the page of all of them.
        arithmetic: which made the images, for the head of the page.
    """

    def __init__(
        self,
        options: Options,
        domains: Domains,
        result: str,
        *,
        measurement: Measurement | None,
        ranks: Ranks,
        arithmetic: str = "fp32",
        truth: str = "real_B",
    ) -> None:
        values, self.folder, self.domains = options.values, results_folder(options), domains
        self.aspect_ratio = options.of(ResultOptions).aspect_ratio
        title = f"{values['name']}: {values['phase']}, epoch {values['epoch']}, {arithmetic}"
        self.page = ResultsPage(self.folder, title, values["display_winsize"], values, options.sources)
        self.table, self.result, self.measurement = MetricTable(), result, measurement
        self.truth = truth
        self.ranks = ranks
        self.bands = parse_bands(values["preview_bands"], max(values["input_nc"], values["output_nc"]))
        self.log = ResultLog(self.folder, resume=values["skip_existing"], rank=ranks.rank, count=ranks.count)
        self.failures: list[str] = []
        self.sets = self._compared_sets(values["fid_weights"]) if ranks.first else None
        self._shared: list[Finished] = []  # rows that wait until all processes are done

    def _compared_sets(self, weights: str | None) -> SetComparison | None:
        if weights is None:
            return None
        value_range = self.domains.range("real_B" if "real_B" in self.domains.sides else self.result)
        return SetComparison(load_features(weights), self.result, value_range)

    def __len__(self) -> int:
        return len(self.page) + len(self._shared)

    def take_over(self, name: str) -> bool:
        """Count in an image that an earlier test has finished; return whether there is one (--skip_existing)."""
        row = self.log.finished(name)
        if row is None:
            return False
        self._count(row)
        return True

    def fail(self, reason: str) -> None:
        """Note an image that could not be translated."""
        self.failures.append(reason)

    def add(
        self,
        name: str,
        tensors: Mapping[str, Tensor],
        mask: Tensor | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one sample's images and measure them.

        Args:
            tensors: (C,H,W) in [-1,1] by label.
            mask: (1,H,W), 0 where the target is unknown; such pixels are written as NaN and not measured.
            extras: what the data set gave beside images.
        """
        masks = {"real_B": mask}
        images = {label: self.domains.values(label, image, masks.get(label)) for label, image in tensors.items()}
        images, row, beside = self._measured(images, tensors, extras or {})
        images = {label: stretch(image, self.aspect_ratio) for label, image in images.items()}
        finished = Finished(name, self._written(name, images), row, beside)
        self._count(finished, self._previews(images))
        self.log.add(finished)

    def _measured(
        self, images: Values, tensors: Mapping[str, Tensor], extras: Mapping[str, Any]
    ) -> tuple[Values, Row, Beside]:
        """Return the images to show and the metrics; the images as they are where there is nothing to measure."""
        known = images | ({"real_B": images[self.truth]} if self.truth in images else {})
        if self.measurement is None or "real_B" not in known:
            return images, {}, {}
        source = self.domains.range("real_B").restore(tensors["real_A"].permute(1, 2, 0).numpy())
        sample = Sample(known, self.result, source, extras)
        row, beside = self.measurement.measure(sample)
        shown = self.measurement.shown(sample)
        return {label: shown[label] for label in shown if label in images or label not in known}, row, beside

    def _written(self, name: str, images: Values) -> dict[str, str]:
        """Write the images of one sample; return their files below the folder."""
        files = {label: self._file(name, label, image) for label, image in images.items()}
        for label, image in images.items():
            write_image(files[label], image)
        return {label: path.relative_to(self.folder).as_posix() for label, path in files.items()}

    def _previews(self, images: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {label: preview(image, self._range(label), self.bands) for label, image in images.items()}

    def _range(self, label: str) -> ValueRange:
        return self.domains.range(label if label in self.domains.sides else "real_B")

    def gather(self) -> None:
        """Wait for the other processes, and count in their images and failures."""
        if self.ranks.count == 1:
            return
        numbers = range(self.ranks.rank, len(self._shared) * self.ranks.count, self.ranks.count)
        rows = self.ranks.gather_rows(dict(zip(numbers, self._shared, strict=False)))
        failures = self.ranks.gather_rows({self.ranks.rank: self.failures})
        self.failures = [reason for reasons in failures.values() for reason in reasons]
        if self.ranks.first:
            for row in rows.values():
                self._show(row)

    def _count(self, row: Finished, previews: Mapping[str, np.ndarray] | None = None) -> None:
        if self.ranks.count == 1:
            self._show(row, previews)
            return
        self.page.keep_previews({label: self.folder / path for label, path in row.files.items()}, previews or {})
        self._shared.append(row)

    def _show(self, row: Finished, previews: Mapping[str, np.ndarray] | None = None) -> None:
        files = {label: self.folder / path for label, path in row.files.items()}
        self.page.add(row.name, files, previews, row.metrics, row.beside)
        if self.sets is not None:
            self.sets.add(files)
        if row.metrics:
            self.table.add(row.name, row.metrics)
        for baseline, metrics in row.beside.items():
            self.table.add_beside(baseline, row.name, metrics)

    def _file(self, name: str, label: str, image: np.ndarray) -> pathlib.Path:
        suffix = FileFormat(image.dtype.name, image.shape[2]).suffix
        return self.folder / "images" / f"{name}_{label}{suffix}"

    def finish(self, baselines: Baselines) -> None:
        """Print and write the metrics beside the baselines of the measured images, the failures, and the page."""
        self.log.close()
        self._finish_failures()
        self._finish_sets()
        if self.table.metrics:
            self.table.finish()
            for name, row in baselines(list(self.table.rows)).items():
                self.table.add_baseline(name, row)
            print(self.table.format_table())
        self.table.write(self.folder)
        self.page.finish(self.table)

    def _finish_sets(self) -> None:
        """Measure FID and KID, and note which network measured what."""
        lpips = self.measurement.lpips if self.measurement else None
        if isinstance(lpips, PerceptualDistance) and lpips.name:
            self.table.measured_by["lpips"] = lpips.name
        if self.sets is None:
            return
        found = self.sets.measure()
        self.table.add_of_sets(found, self.sets.network.source)
        if not found:
            print("no FID: it needs two results and two targets; sources alone have none", file=sys.stderr)

    def _finish_failures(self) -> None:
        path = self.folder / "failures.txt"
        path.unlink(missing_ok=True)
        if self.failures:
            write_text(path, "".join(f"{line}\n" for line in self.failures))
            print(f"{len(self.failures)} images failed: {path}", file=sys.stderr)
