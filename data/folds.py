"""Folds of cross-validation: which of k parts a group of images belongs to, by its name and a seed alone.

A group is one source: the scans NAME_itr0, NAME_itr1 of one surface, or what ``--group_by`` finds alike in names.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

from util.errors import UserError

_ITERATION = re.compile(r"_itr\d+$")


def group_of(name: str, pattern: str | None) -> str:
    """Return the group of a name: it without a trailing ``_itrK``, or its beginning that matches ``--group_by``.

    Raises:
        UserError: the pattern is no regular expression, or does not match.
    """
    if pattern is None:
        return _ITERATION.sub("", name)
    try:
        found = re.match(pattern, name)
    except re.error as error:
        raise UserError(f"--group_by {pattern}: not a regular expression ({error})") from None
    if found is None:
        raise UserError(f"--group_by {pattern}: does not match the name {name}")
    return found[0]


def ranked(groups: Iterable[str], seed: int) -> list[str]:
    """Return the distinct groups in an order that depends on neither the order of files nor the platform."""
    return sorted(set(groups), key=lambda group: hashlib.blake2b(f"{seed}:{group}".encode()).digest())


def fold_of(groups: Iterable[str], folds: int, seed: int) -> dict[str, int]:
    """Return the fold of every group, from 1: the largest first, each goes where there are fewest images.

    Args:
        groups: that of each image; equally large ones are spread evenly.

    Raises:
        UserError: fewer than two folds, or fewer groups than folds.
    """
    sizes = Counter(groups)
    order = sorted(ranked(sizes, seed), key=lambda group: -sizes[group])
    if folds < 2:
        raise UserError(f"--folds {folds}: give 2 or more")
    if len(order) < folds:
        raise UserError(f"--folds {folds}: there are only {len(order)} group(s) of images; use fewer folds")
    filled, found = [0] * folds, dict[str, int]()
    for group in order:
        found[group] = filled.index(min(filled)) + 1
        filled[found[group] - 1] += sizes[group]
    return found
