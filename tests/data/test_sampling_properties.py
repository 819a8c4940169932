"""What holds for sampling, interruptions and splits of any size, found by hypothesis rather than by example."""

from __future__ import annotations

import itertools
import pathlib
import sys
import unittest.mock
from collections.abc import Iterator
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.common import LoaderOptions
from data.listing import split_names
from data.loader import EpochBatches, EpochLoader, Shard, sample_seed
from data.tools.split import assign
from prepare import main as prepare
from training.loggers.base import Position
from util.errors import UserError

COUNT, SIZE, SEED = st.integers(1, 60), st.integers(1, 9), st.integers(0, 2**31)
Key = tuple[int, int, int]


class Indices:
    """Samples that are their own index, with one number drawn for each."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        return {"A": torch.tensor([float(index)]), "drawn": torch.rand(1, generator=generator)}


def _samples(
    count: int, size: int, seed: int, epoch: int, offset: int = 0, shuffle: bool = True
) -> list[tuple[Any, ...]]:
    options = LoaderOptions(batch_size=size, num_threads=0)
    loader = EpochLoader(Indices(count), options, seed=seed, shuffle=shuffle)
    batches = list(loader.epoch(epoch, offset))
    assert all(batch["total"] == len(batch["A"]) for batch in batches)
    return [pair for batch in batches for pair in zip(batch["A"].tolist(), batch["drawn"].tolist(), strict=True)]


@given(COUNT, SIZE, SEED, st.integers(1, 10**6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_an_epoch_holds_each_sample_once(count: int, size: int, seed: int, epoch: int, shuffle: bool) -> None:
    samples = _samples(count, size, seed, epoch, shuffle=shuffle)
    assert sorted(index for (index,), _ in samples) == list(range(count))
    if not shuffle:
        assert samples == sorted(samples)


@given(COUNT, SIZE, SEED, st.integers(1, 99), st.data())
@settings(max_examples=30, deadline=None)
def test_an_offset_leaves_out_exactly_what_was_seen(count: int, size: int, seed: int, epoch: int, data: Any) -> None:
    offset = data.draw(st.integers(0, count))
    assert _samples(count, size, seed, epoch, offset) == _samples(count, size, seed, epoch)[offset:]


@given(COUNT, SIZE, SIZE, SEED, st.integers(1, 99))
@settings(max_examples=30, deadline=None)
def test_the_batch_size_changes_no_sample(count: int, size: int, other: int, seed: int, epoch: int) -> None:
    assert _samples(count, size, seed, epoch) == _samples(count, other, seed, epoch)


@given(COUNT, SIZE, SEED, st.integers(1, 4), st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_ranks_share_every_batch_without_rest(
    count: int, size: int, seed: int, ranks: int, parts: int, data: Any
) -> None:
    offset = data.draw(st.integers(0, count))

    def batches(shard: Shard) -> list[list[Key]]:
        sampler = EpochBatches(count, size, seed, True, shard)
        sampler.position = (3, offset)
        return list(sampler)

    shares = [batches(Shard(rank, ranks, parts)) for rank in range(ranks)]
    for whole, *pieces in zip(batches(Shard()), *shares, strict=True):
        assert sorted(whole) == sorted(itertools.chain(*pieces))


@given(
    st.tuples(SEED, st.integers(1, 999), st.integers(-1, 999)),
    st.tuples(SEED, st.integers(1, 999), st.integers(-1, 999)),
)
def test_seeds_of_samples_are_positive_and_their_own(one: Key, other: Key) -> None:
    seeds = sample_seed(*one), sample_seed(*other)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert (seeds[0] == seeds[1]) == (one == other)


def _walk(count: int, size: int, seed: int, epochs: int, start: Position) -> Iterator[tuple[Position, list[Key]]]:
    """Yield the position after each step and its samples, as a training goes that continues from ``start``."""
    sampler, position = EpochBatches(count, size, seed, True), start
    while position.epoch <= epochs:
        sampler.position = (position.epoch, position.iters)
        for keys in sampler:
            position = position.after(len(keys))
            if position.iters >= count:
                position = position._replace(epoch=position.epoch + 1, iters=0)
            yield position, keys


@given(st.integers(1, 20), SIZE, SEED, st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_going_on_from_any_positions_equals_one_go(count: int, size: int, seed: int, epochs: int, data: Any) -> None:
    whole = list(_walk(count, size, seed, epochs, Position(epoch=1)))
    assert len(whole) == epochs * -(-count // size)
    assert whole[-1][0] == Position(epochs + 1, 0, len(whole), epochs * count)
    parts, position = [], Position(epoch=1)
    for stop in sorted(data.draw(st.sets(st.integers(1, len(whole)), max_size=4)) | {len(whole)}):
        parts += itertools.islice(_walk(count, size, seed, epochs, position), stop - len(parts))
        position = parts[-1][0]
    assert parts == whole


NAMES = st.lists(st.text("abcäß012_-", min_size=1, max_size=6), min_size=1, max_size=40, unique=True)
SHARE = st.floats(0, 0.45)


@given(NAMES, SHARE, SHARE, SEED, st.randoms())
@settings(max_examples=100, deadline=None)
def test_a_split_is_disjoint_complete_and_the_same_in_any_order(
    names: list[str], val: float, test: float, seed: int, chance: Any
) -> None:
    try:
        phases = assign(names, val, test, seed)
    except UserError as error:
        assert "too few" in str(error)
        assert len(names) <= max(1, round(len(names) * val)) * (val > 0) + max(1, round(len(names) * test)) * (test > 0)
        return
    assert phases.keys() == set(names)
    assert set(phases.values()) <= {"train", "val", "test"} and "train" in phases.values()
    assert ("val" in phases.values()) == (val > 0) and ("test" in phases.values()) == (test > 0)
    shuffled = chance.sample(names, len(names))
    assert assign(shuffled + shuffled[:3], val, test, seed) == phases


@given(NAMES, st.floats(0, 0.9), SEED, NAMES)
@settings(max_examples=100, deadline=None)
def test_the_split_by_name_is_disjoint_complete_and_stable(
    names: list[str], fraction: float, seed: int, more: list[str]
) -> None:
    train, held_out = (split_names(names, fraction, seed, phase) for phase in ("train", "test"))
    assert sorted(train + held_out) == sorted(names) and not set(train) & set(held_out)
    assert len(held_out) >= 1 and (len(names) == 1 or train)
    assert split_names(names[::-1], fraction, seed, "train") == train[::-1]
    grown = list(dict.fromkeys(names + more))
    moved = set(split_names(grown, fraction, seed, "test")) ^ set(held_out)
    by_chance = 1  # at least one is held out and one is not, whatever their places
    assert len(moved & set(names)) <= by_chance


@given(st.integers(3, 12), st.floats(0.05, 0.3), SEED)
@settings(max_examples=8, deadline=None)
def test_prepare_split_copies_every_file_to_one_place(
    tmp_path_factory: Any, count: int, fraction: float, seed: int
) -> None:
    root: pathlib.Path = tmp_path_factory.mktemp("split")
    (root / "in").mkdir()
    for number in range(count):
        (root / "in" / f"{number}.png").write_bytes(bytes([number]))
    words = ["split", "--dataroot", str(root / "in"), "--test_fraction", str(fraction), "--seed", str(seed)]
    with unittest.mock.patch.object(sys, "argv", ["prepare.py", *words, "--out", str(root / "out")]):
        prepare()
    found = [path.read_bytes()[0] for path in (root / "out").rglob("*.png")]
    assert sorted(found) == list(range(count))
