"""What the values of a model's images mean in files: kept by the run, fitted to the files at hand."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from commands.build import build_dataset
from data.value_range import ValueRange
from inference.domain import Domain, fit_domains
from inference.domains import Domains
from options.resolve import COMMAND_LINE, Options
from options.saved import recorded
from util.errors import UserError

_SPLITS = ("folds", "fold", "val_fraction", "split_seed", "group_by")  # flags that decide who holds out what


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


def tell_of_folds(members: Sequence[Options], folder: pathlib.Path, dataset: Any) -> None:
    """Say so where runs that are joined were trained on images that the first of them holds out."""
    first = members[0].values
    if first["phase"] in ("train", "all") or not _is_trained_on(first["dataroot"], folder):
        return
    images, trained = set(dataset.names), []
    for own in members[1:]:
        if any(own.values[name] != first[name] for name in _SPLITS):
            held_out = set(build_dataset(own, train=False, ranges=dataset.ranges).names)
            trained += [own.values["name"]] if images - held_out else []
    if trained:
        print(
            f"note: {first['name']} holds these images out, but {', '.join(trained)} trained on some of them, so that "
            "the figures flatter; measure each run alone, or all on images that none of them has seen",
            file=sys.stderr,
        )


def _is_trained_on(root: str, folder: pathlib.Path) -> bool:
    trained = recorded(folder, "dataroot")
    return isinstance(trained, str) and pathlib.Path(trained).resolve() == pathlib.Path(root).resolve()


def _ranges(domains: Mapping[str, Domain]) -> dict[str, ValueRange] | None:
    return {side: domain.range for side, domain in domains.items()} or None
