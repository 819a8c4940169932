"""Folds of cross-validation: which of k parts a group of images belongs to, by its name and a seed alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from util.errors import UserError


def ranked(groups: Iterable[str], seed: int) -> list[str]:
    """Return the distinct groups in an order that depends on neither the order of files nor the platform."""
    return sorted(set(groups), key=lambda group: hashlib.blake2b(f"{seed}:{group}".encode()).digest())


def fold_of(groups: Iterable[str], folds: int, seed: int) -> dict[str, int]:
    """Return the fold of every group, from 1; the folds' numbers of groups differ by one at most.

    Raises:
        UserError: fewer than two folds, or fewer groups than folds.
    """
    order = ranked(groups, seed)
    if folds < 2:
        raise UserError(f"--folds {folds}: give 2 or more")
    if len(order) < folds:
        raise UserError(f"--folds {folds}: there are only {len(order)} group(s) of images; use fewer folds")
    return {group: place % folds + 1 for place, group in enumerate(order)}
