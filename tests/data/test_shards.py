"""Every rank gets its share of every micro-batch, in order, and nothing is lost or doubled."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.common import LoaderOptions
from data.loader import EpochBatches, EpochLoader, Shard, sample_seed
from util.errors import UserError

sizes = st.integers(1, 9)


class _Numbered:
    """Samples that hold their index and some chance; number 3 cannot be read when ``broken``."""

    def __init__(self, count: int, broken: bool = False) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        if self.broken and index == 3:
            raise UserError("3.png: damaged")
        return {"A": torch.rand(3, 2, 5, generator=generator) + index, "names": str(index), "key": index}


def _loader(count: int, batch_size: int, shard: Shard | None = None, **settings: Any) -> EpochLoader:
    options = LoaderOptions(batch_size=batch_size, num_threads=0)
    chosen = {} if shard is None else {"shard": shard}
    return EpochLoader(_Numbered(count, **settings), options, seed=4, shuffle=True, **chosen)


@settings(deadline=None)
@given(st.integers(0, 40), sizes, sizes)
def test_micro_batches_and_shares_are_those_of_tensor_split(total: int, ranks: int, parts: int) -> None:
    batch = list(range(total))
    shares = [Shard(rank, ranks, parts) for rank in range(ranks)]
    pieces = [share.pieces(batch) for share in shares]
    for part, micro_batch in enumerate(torch.tensor(batch).tensor_split(parts)):
        expected = [piece.tolist() for piece in micro_batch.tensor_split(ranks)]
        assert [pieces[rank][part] for rank in range(ranks)] == expected
    assert [share.counts(total) for share in shares] == [[len(piece) for piece in own] for own in pieces]


@settings(deadline=None)
@given(st.integers(1, 40), sizes, sizes, sizes, st.integers(0, 3), st.booleans())
def test_the_ranks_together_have_every_batch_in_order(
    count: int, batch_size: int, ranks: int, parts: int, skipped: int, shuffle: bool
) -> None:
    def sampler(*shard: Shard) -> EpochBatches:
        batches = EpochBatches(count, batch_size, 1, shuffle, *shard)
        batches.position = (2, skipped * batch_size)
        return batches

    shares = [Shard(rank, ranks, parts) for rank in range(ranks)]
    whole, each = list(sampler()), [list(sampler(share)) for share in shares]
    assert sampler().totals() == [len(batch) for batch in whole]
    assert all(len(own) == len(whole) for own in each)
    for number, batch in enumerate(whole):
        left = [iter(own[number]) for own in each]
        counts = [share.counts(len(batch)) for share in shares]
        gathered = [
            key
            for part in range(parts)
            for rank in range(ranks)
            for key in itertools.islice(left[rank], counts[rank][part])
        ]
        assert gathered == batch and all(not list(rest) for rest in left)


def test_alone_a_rank_has_the_samples_of_the_data_set_and_is_told_the_counts() -> None:
    dataset = _Numbered(7)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(sample_seed(4, 2, -1))).tolist()
    samples = [dataset.load(i, torch.Generator().manual_seed(sample_seed(4, 2, i))) for i in order]
    for shard in (None, Shard()):
        batches = list(_loader(7, 3, shard).epoch(2))
        assert torch.equal(torch.cat([batch["A"] for batch in batches]), torch.stack([s["A"] for s in samples]))
        assert [name for batch in batches for name in batch["names"]] == [s["names"] for s in samples]
        assert [(batch["total"], batch["counts"]) for batch in batches] == [(3, [3]), (3, [3]), (1, [1])]


def test_two_ranks_and_two_parts() -> None:
    (whole,) = _loader(5, 5).epoch(1)
    batches = [next(iter(_loader(5, 5, Shard(rank, 2, 2)).epoch(1))) for rank in (0, 1)]
    assert [batch["counts"] for batch in batches] == [[2, 1], [1, 1]]
    assert [batch["total"] for batch in batches] == [5, 5]
    assert torch.equal(batches[0]["A"], whole["A"][[0, 1, 3]]) and torch.equal(batches[1]["A"], whole["A"][[2, 4]])
    assert batches[1]["names"] == [whole["names"][2], whole["names"][4]]


def test_a_rank_without_samples_gets_empty_tensors_of_the_right_shape() -> None:
    batches = list(_loader(5, 2, Shard(1, 2, 1)).epoch(1))
    assert [batch["counts"] for batch in batches] == [[1], [1], [0]] and batches[-1]["total"] == 1
    assert batches[-1]["A"].shape == (0, 3, 2, 5) and batches[-1]["names"] == batches[-1]["key"] == []
    assert len(_loader(5, 2, Shard(1, 2, 1))) == 3


def test_only_the_rank_with_the_damaged_file_names_it() -> None:
    order = [name for batch in _loader(4, 4).epoch(1) for name in batch["names"]]
    owner = order.index("3") // 2
    assert len(list(_loader(4, 4, Shard(1 - owner, 2), broken=True).epoch(1))) == 1
    with pytest.raises(UserError, match="3.png"):
        list(_loader(4, 4, Shard(owner, 2), broken=True).epoch(1))


@pytest.mark.parametrize("wrong", [(1, 1, 1), (-1, 1, 1), (0, 0, 1), (0, 1, 0)])
def test_impossible_shares_are_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no such share"):
        Shard(*wrong)
