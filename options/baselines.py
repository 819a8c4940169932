"""What a prediction that has learned nothing would score on the same test pairs."""

from __future__ import annotations

from typing import Any

from data.tools.baselines import baseline_rmse
from options.build import build_dataset
from options.resolve import Options
from util.errors import UserError


def baseline_rows(options: Options, test: Any) -> dict[str, dict[str, float]]:
    """Return ``{baseline: {"rmse": value}}`` in file units, fitted on the training pairs.

    Empty where source and target are halves of one file, or where there is no training split to fit on.
    """
    try:
        train = build_dataset(options.replace("baseline", phase="train"), train=False, ranges=test.ranges)
    except UserError:
        return {}
    pairs = {name: [(p.source, p.target) for p in data.pairs if not p.joined] for name, data in
             (("train", train), ("test", test))}  # fmt: skip
    if not pairs["train"] or not pairs["test"]:
        return {}
    figures = baseline_rmse(pairs["train"], pairs["test"])
    return {name.removesuffix("_rmse").replace("_", " "): {"rmse": value} for name, value in figures.items()}
