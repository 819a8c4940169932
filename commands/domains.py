"""What the values of a model's images mean in files: kept by the run, fitted to the files at hand."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from commands.build import build_dataset
from commands.opened_run import saved_domains
from data.value_range import ValueRange
from inference.domain import Domain, fit_domains
from inference.domains import Domains
from options.resolve import Options


def open_data(options: Options, folder: pathlib.Path, sides: Mapping[str, str]) -> tuple[Any, Domains]:
    """Return the data set to translate and the domains of the model's images.

    Raises:
        UserError: the data cannot be opened, or its files are of another depth than the run was trained on and
            nothing says how their values correspond.
    """
    saved = saved_domains(options, folder)
    dataset = build_dataset(options, train=False, ranges=_ranges(saved))
    found = {side: file_format.dtype for side, file_format in dataset.formats.items()}
    fitted = fit_domains(saved, found, f"--dataroot {options.values['dataroot']}")
    if fitted != saved:
        dataset = build_dataset(options, train=False, ranges=_ranges(fitted))
    formats = {side: domain.format for side, domain in fitted.items()}
    return dataset, Domains(dataset.ranges | (_ranges(fitted) or {}), formats | dataset.formats, sides)


def _ranges(domains: Mapping[str, Domain]) -> dict[str, ValueRange] | None:
    return {side: domain.range for side, domain in domains.items()} or None
