"""Samples -> batches. A sample is a pure function of (seed, epoch, index), whatever the number of workers."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch.utils.data import DataLoader, Sampler

from data.collate import Batch, Failure, collate, emptied
from data.common import LoaderOptions
from data.transfer import prefetch
from data.workers import Workers, leave_stopping_to_the_trainer
from util.errors import BadFile, UserError

SampleKey = tuple[int, int, int]
T = TypeVar("T")
_CPU = torch.device("cpu")
_STAND_INS = 100  # samples in a row that may be unreadable before the folder itself is to blame


class LoadsSamples(Protocol):
    """What the loader asks of a data set."""

    def __len__(self) -> int: ...

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """Return one sample, a pure function of the index and the generator's seed."""
        ...


@runtime_checkable
class LoadsStored(Protocol):
    """What a data set of files offers beside: images as they are stored, which are smaller."""

    def load_stored(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        """As ``load``, but uint8 images stay so, with their :class:`ValueRange` as "A_range" or "B_range"."""
        ...


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return 63 well-mixed bits for one sample; they seed its generator and are its "key"."""
    digest = hashlib.blake2b(f"{seed},{epoch},{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass(frozen=True)
class Shard:
    """One rank's share of every batch.

    A batch of N samples is first cut into ``parts`` micro-batches of nearly equal size, the larger ones first, and each
    of them over the ranks in order, in the same way. So micro-batch k holds the same samples whatever the number of
    ranks.
    """

    rank: int = 0
    ranks: int = 1
    parts: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.ranks and self.parts >= 1):
            raise ValueError(f"no such share: {self}")

    def pieces(self, batch: Sequence[T]) -> list[list[T]]:
        """Return this rank's samples of each micro-batch; some, or all, may be empty lists."""
        return [cut(part, self.ranks)[self.rank] for part in cut(batch, self.parts)]

    def counts(self, total: int) -> list[int]:
        """Return how many samples of each micro-batch this rank has when the whole batch has ``total``."""
        return [len(piece) for piece in self.pieces(range(total))]


def cut(items: Sequence[T], pieces: int) -> list[list[T]]:
    """Return ``pieces`` consecutive lists whose lengths differ by one at most, longer ones first."""
    size, longer = divmod(len(items), pieces)
    ends = [(index + 1) * size + min(index + 1, longer) for index in range(pieces)]
    return [list(items[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]


class EpochLoader:
    """Batches of any epoch from any offset; the workers live on from epoch to epoch.

    A batch holds one rank's share of ``batch_size`` samples: tensors (n, ...), lists of n for the rest, "total", the
    samples over all ranks, and "counts", this rank's in each micro-batch. Where n is 0 tensors are (0, C, H, W).

    With ``skip_bad`` the next sample that can be read stands in for one that cannot; each such file is named once by
    each process that meets it.

    Neither shuffling nor loading touches the global random state. Errors of the user in a worker arrive here as the
    same UserError; a worker that is killed is said in one line and started again.

    Args:
        device: where batches are wanted; the next one is copied there while one is in use.
    """

    def __init__(
        self,
        dataset: LoadsSamples,
        options: LoaderOptions,
        *,
        seed: int,
        shuffle: bool,
        shard: Shard = Shard(),
        device: torch.device = _CPU,
        skip_bad: bool = False,
    ) -> None:
        self.dataset, self.device = dataset, device
        self._batches = EpochBatches(len(dataset), options.batch_size, seed, shuffle, shard)
        workers = min(options.num_threads, processors(), len(self._batches))
        make = functools.partial(_loader, _Batched(dataset, skip_bad), self._batches, workers, device)
        self._workers = Workers(make)

    def __len__(self) -> int:
        """Return the batches of one whole epoch."""
        return len(self._batches)

    def epoch(self, epoch: int, offset: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch after its first ``offset`` samples.

        Raises:
            UserError: a file cannot be read or does not fit the others of its batch, or workers die again and again.
        """
        return prefetch(self.stored(epoch, offset), self.device)

    def stored(self, epoch: int, offset: int = 0) -> Iterator[Batch]:
        """As :meth:`epoch`, before the way to the device: 8-bit images as uint8 with "A_range" and "B_range"."""

        def seek(done: int) -> None:
            self._batches.position = (epoch, offset + done * self._batches.batch_size)

        seek(0)
        for batch, total in zip(self._workers.batches(seek), self._batches.totals(), strict=True):
            if isinstance(batch, Failure):
                raise UserError(batch.message)
            yield batch | {"total": total, "counts": self._batches.shard.counts(total)}


class EpochBatches(Sampler[list[SampleKey]]):
    """A rank's (seed, epoch, index) of one batch after the other, from ``position`` = (epoch, offset in samples)."""

    def __init__(self, count: int, batch_size: int, seed: int, shuffle: bool, shard: Shard = Shard()) -> None:
        self.count, self.batch_size, self.seed, self.shuffle, self.shard = count, batch_size, seed, shuffle, shard
        self.position = (1, 0)

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, offset = self.position
        order = self._order(epoch)
        for begin in range(offset, len(order), self.batch_size):
            pieces = self.shard.pieces(order[begin : begin + self.batch_size])
            yield [(self.seed, epoch, index) for piece in pieces for index in piece]

    def totals(self) -> list[int]:
        """Return the samples over all ranks of each batch that is to come."""
        return [
            min(self.batch_size, self.count - begin) for begin in range(self.position[1], self.count, self.batch_size)
        ]

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.count))
        generator = torch.Generator().manual_seed(sample_seed(self.seed, epoch, -1))
        return torch.randperm(self.count, generator=generator).tolist()


class _Batched(torch.utils.data.Dataset[Any]):
    """A data set indexed by lists of (seed, epoch, index)."""

    def __init__(self, dataset: LoadsSamples, skip_bad: bool) -> None:
        self._load = dataset.load_stored if isinstance(dataset, LoadsStored) else dataset.load
        self._stand_ins = min(_STAND_INS, len(dataset)) if skip_bad else 1
        self._count = len(dataset)

    def __getitem__(self, keys: list[SampleKey]) -> Batch | Failure:
        if keys:
            return collate([self._sample(key) for key in keys])
        return emptied(collate([self._sample((0, 0, 0))]))  # any sample tells what an empty batch is made of

    def _sample(self, key: SampleKey) -> dict[str, Any] | Failure:
        """Return a sample, or the first of those after it that can be read, or what is wrong."""
        seed, epoch, index = key
        message = ""
        for place in range(index, index + self._stand_ins):
            generator = torch.Generator().manual_seed(sample_seed(seed, epoch, place % self._count))
            try:
                return self._load(place % self._count, generator)
            except BadFile as error:
                message = str(error)
                if self._stand_ins > 1:
                    _say_skipped(message)
            except UserError as error:
                return Failure(str(error))
        return Failure(message)


@functools.cache
def _say_skipped(message: str) -> None:
    print(f"skipped: {message}", file=sys.stderr)


def _loader(
    dataset: _Batched, batches: EpochBatches, workers: int, device: torch.device
) -> DataLoader[Batch | Failure]:
    return DataLoader(
        dataset,
        batch_size=None,  # the sampler makes the batches
        sampler=batches,
        num_workers=workers,
        collate_fn=as_it_is,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        worker_init_fn=leave_stopping_to_the_trainer,
        generator=torch.Generator().manual_seed(sample_seed(batches.seed, 0, 0)),
    )


def as_it_is(batch: Any) -> Any:
    """Return what it is given: a DataLoader would make tensors of numbers and strings."""
    return batch


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
