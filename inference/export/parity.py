"""Numerical parity of exported files with the run itself decides which of them are kept."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from torch import Tensor

from inference.export.measure import LIMIT, Runner, compare, median_times, runner_of
from inference.export.table import Row
from inference.export.writer import Writer
from inference.predictor import Predictor

RUN = "the run"


class ParityCheck:
    """Compares files with the run in fp32 and collects the table.

    fp32 files must agree on made-up images of three sizes; the others must reach a PSNR on held-out images.

    Args:
        predictor: the run, on the CPU, in fp32.
        trials: images of several sizes, (N,C,H,W) in [0,1].
        held_out: images as the run is used on, none of which a file was calibrated on.
        min_psnr: in dB.
    """

    def __init__(
        self, predictor: Predictor, trials: Sequence[Tensor], held_out: Sequence[Tensor], min_psnr: float
    ) -> None:
        self.min_psnr, self._images = min_psnr, {True: trials, False: held_out}
        self._runners: dict[str, Runner] = {RUN: runner_of(predictor)}
        self._expected: dict[bool, list[Tensor]] = {}
        self.rows: list[Row] = []
        self.refused: dict[str, str] = {}

    def check(self, writer: Writer, form: str, dtype: str, path: pathlib.Path) -> None:
        """Compare one file; take it into the table, or note the reason why it is refused."""
        exact = dtype == "fp32"
        runner = writer.open(form, path)
        error, psnr = compare(self._reference(exact), (runner(image) for image in self._images[exact]))
        if exact and error > LIMIT:
            self.refused[path.name] = f"it differs from the run by {error:.1e} of values in 0..1 (limit {LIMIT:.0e})"
        elif not exact and psnr < self.min_psnr:
            count = len(self._images[exact])
            self.refused[path.name] = (
                f"{psnr:.1f} dB PSNR against fp32 on {count} images is below --min_psnr {self.min_psnr:g}"
            )
        else:
            self.rows.append(Row(form, dtype, path.name, path.stat().st_size / 1e6, error, psnr))
            if form != "safetensors":  # weights alone compute nothing
                self._runners[path.name] = runner

    def _reference(self, exact: bool) -> list[Tensor]:
        if exact not in self._expected:
            self._expected[exact] = [self._runners[RUN](image) for image in self._images[exact]]
        return self._expected[exact]

    def timed(self, run: Row, image: Tensor) -> list[Row]:
        """Return the run's own row and those of all kept files, with their times for one image."""
        times = median_times(self._runners, image)
        rows = [row.timed(times[row.file], times[RUN]) if row.file in times else row for row in self.rows]
        return [run.timed(times[RUN], times[RUN]), *rows]
