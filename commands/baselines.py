"""What a prediction that has learned nothing would score on the same test pairs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from commands.build import build_dataset
from data.pairs import Pair
from data.tools.baselines import baseline_rmse
from data.value_range import spread
from options.resolve import Options
from util.errors import UserError

_TRAINING_PAIRS = 500  # enough for a mean; reading a whole large training set would take longer than testing


def baseline_rows(options: Options, test: Any, names: Collection[str]) -> dict[str, dict[str, float]]:
    """Return ``{baseline: {"rmse": value}}`` in file units for the named test pairs, fitted on training pairs.

    Empty where images are resized or cropped, since files are measured as they are; where source and target are
    made of one file; and where there is no readable training split to fit on.
    """
    if options.values["preprocess"] != "none":
        return {}
    measured = set(names)
    try:
        train = build_dataset(options.replace("baseline", phase="train"), train=False, ranges=test.ranges)
        fitted = spread(_files(train.pairs), _TRAINING_PAIRS)
        scored = _files(pair for pair in test.pairs if pair.name in measured)
        figures = baseline_rmse(fitted, scored) if fitted and scored else {}
    except UserError:
        return {}
    return {name.removesuffix("_rmse").replace("_", " "): {"rmse": value} for name, value in figures.items()}


def _files(pairs: Any) -> list[tuple[Any, Any]]:
    kept: list[Pair] = [pair for pair in pairs if not pair.joined and pair.source != pair.target]
    return [(pair.source, pair.target) for pair in kept]
