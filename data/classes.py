"""Classes that are names of folders, and their values. Free of numpy and torch, so that --help stays fast."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from util.errors import UserError
from util.option import option

_NUMBER = re.compile(r"\d+(?:\.\d+)?$")


@dataclass(frozen=True)
class LabelledOptions:
    classes: tuple[str, ...] = option(
        (), "folders of images, one a class, by commas; numbers at their ends are the classes' values", "identity"
    )


def label_values(classes: Sequence[str]) -> list[float]:
    """Return the value of each class: the number that its name ends in, else their places from 0.

    Raises:
        UserError: there are fewer than two, or two have one value.
    """
    found = [_NUMBER.search(name) for name in classes]
    values = [float(match[0]) for match in found if match]
    if len(values) < len(classes):
        values = [float(place) for place in range(len(classes))]
    if len(set(values)) < max(2, len(classes)):
        raise UserError(f"--classes {','.join(classes) or '(none)'}: name two or more folders of images, each once")
    return values
