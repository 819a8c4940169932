"""What the values of a model's images mean in files: kept by the run, fitted to the files at hand."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from commands.build import build_dataset
from data.value_range import ValueRange
from inference.domain import Domain, fit_domains
from inference.domains import Domains
from options.resolve import COMMAND_LINE, Options
from options.saved import recorded
from util.errors import UserError


def open_data(options: Options, saved: Mapping[str, Domain], sides: Mapping[str, str]) -> tuple[Any, Domains]:
    """Return the data set to translate and the domains of the model's images.

    Args:
        saved: what training kept, by side.

    Raises:
        UserError: the data cannot be opened, or its files are of another depth than the run was trained on and
            nothing says how their values correspond.
    """
    dataset = build_dataset(options, train=False, ranges=_ranges(saved))
    found = {side: file_format.dtype for side, file_format in dataset.formats.items()}
    fitted = fit_domains(saved, found, f"--dataroot {options.values['dataroot']}")
    if fitted != saved:
        dataset = build_dataset(options, train=False, ranges=_ranges(fitted))
    formats = {side: domain.format for side, domain in fitted.items()}
    return dataset, Domains(dataset.ranges | (_ranges(fitted) or {}), formats | dataset.formats, sides)


def tell_of_split(options: Options, folder: pathlib.Path, dataset: Any) -> None:
    """Say so where a folder that the run was not trained on gives only the part that a training would hold out.

    It is not taken whole without a word: it may be the training's own folder at another place.
    """
    values = options.values
    if options.sources["phase"] == COMMAND_LINE or _is_trained_on(values["dataroot"], folder):
        return
    try:
        count = len(build_dataset(options.replace("split", phase="all"), train=False, ranges=dataset.ranges))
    except UserError:  # it has folders for train and test
        return
    if len(dataset) < count:
        print(
            f"note: --dataroot {values['dataroot']}: {len(dataset)} of its {count} images, the part that a training "
            "on it holds out; --phase all takes every one",
            file=sys.stderr,
        )


def _is_trained_on(root: str, folder: pathlib.Path) -> bool:
    trained = recorded(folder, "dataroot")
    return isinstance(trained, str) and pathlib.Path(trained).resolve() == pathlib.Path(root).resolve()


def _ranges(domains: Mapping[str, Domain]) -> dict[str, ValueRange] | None:
    return {side: domain.range for side, domain in domains.items()} or None
