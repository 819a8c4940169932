"""Several processes that train one model: torchrun starts them, gradients and images meet here."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from util.errors import UserError

T = TypeVar("T")
_groups = itertools.count()  # of this process, in one order on all ranks


class Ranks:
    """The processes of one training; a single one needs no communication.

    ``rank`` counts from 0 to ``count`` - 1; rank 0 alone writes files.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def first(self) -> bool:
        """Whether this process writes the files and talks to the user."""
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over the ranks, in one message per dtype."""
        if self.count == 1:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):  # in one order on all ranks
            group = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            dist.all_reduce(flat)
            for tensor, total in zip(group, flat.split([tensor.numel() for tensor in group]), strict=True):
                tensor.copy_(total.view(tensor.shape))

    def any(self, here: bool) -> bool:
        """Return whether the statement holds on any rank; it travels between processors, so no GPU is waited for."""
        if self.count == 1:
            return here
        vote = torch.tensor(float(here))
        dist.all_reduce(vote, dist.ReduceOp.MAX)
        return bool(vote)

    def gather(self, images: Tensor) -> list[Tensor]:
        """Return the (n_rank,C,H,W) images of every rank, which may hold unequal numbers and sizes of them."""
        if self.count == 1:
            return [images]
        shapes = self._table(images.shape)
        padded = images.new_zeros(max(map(math.prod, shapes)))
        padded[: images.numel()] = images.reshape(-1)
        gathered = [torch.empty_like(padded) for _ in range(self.count)]
        dist.all_gather(gathered, padded)
        return [part[: math.prod(shape)].view(shape) for part, shape in zip(gathered, shapes, strict=True)]

    def _table(self, numbers: Sequence[int]) -> list[list[int]]:
        """Return the numbers of every rank, equally many on all of them."""
        rows = [torch.zeros(len(numbers), dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(rows, torch.tensor(list(numbers)))
        return [row.tolist() for row in rows]

    def in_order(self, images: Tensor, counts: Sequence[int]) -> tuple[list[Tensor], list[int]]:
        """Return the (C,H,W) images of all ranks in the order of the whole batch, and the places of this rank's own.

        Args:
            images: (N,C,H,W) this rank's share.
            counts: how many of them belong to each part of the batch, as the loader cut it.
        """
        if self.count == 1:
            return list(images), list(range(len(images)))
        table = self._table(counts)
        shares = [iter(share) for share in self.gather(images)]
        owners = [rank for part in zip(*table, strict=True) for rank, count in enumerate(part) for _ in range(count)]
        return [next(shares[rank]) for rank in owners], [at for at, rank in enumerate(owners) if rank == self.rank]

    def gather_rows(self, rows: dict[int, T]) -> dict[int, T]:
        """Return the plain values that all ranks have found, in the order of their numbers."""
        if self.count == 1:
            return rows
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, rows)
        merged = {number: row for part in found for number, row in part.items()}
        return {number: merged[number] for number in sorted(merged)}

    def from_first(self, value: T) -> T:
        """Return what rank 0 gives, a plain value, so that all ranks decide alike."""
        if self.count == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def first_does(self, work: Callable[[], None]) -> None:
        """Let rank 0 do something; UserError on all ranks where it fails, so that none waits for the others."""
        reason = ""
        if self.first:
            try:
                work()
            except UserError as error:
                reason = str(error)
        reason = self.from_first(reason)
        if reason:
            raise UserError(reason)

    def all_do(self, work: Callable[[], T]) -> T:
        """Return what ``work`` gives on this rank; UserError on all ranks where it fails on any of them."""
        found: list[T] = []
        reason = ""
        try:
            found.append(work())
        except UserError as error:
            reason = str(error)
        if self.any(bool(reason)):
            raise UserError(next(filter(None, self.gather_rows({self.rank: reason}).values())))
        return found[0]

    def clock(self) -> float:
        """Return the seconds of rank 0's monotonic clock."""
        return self.from_first(time.monotonic())

    def wait(self) -> None:
        """Return when every rank has come here."""
        if self.count > 1:
            dist.barrier()

    def close(self) -> None:
        """Leave the group."""
        if self.count > 1:
            dist.destroy_process_group()


def join_ranks(device: torch.device, timeout_minutes: int = 30) -> Ranks:
    """Join the processes that torchrun started, over gloo and for CUDA tensors NCCL; one process stays alone.

    Raises:
        UserError: the other processes cannot be reached.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Ranks()
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if device.type != "cpu":
        torch.accelerator.set_device_index(device.index)  # where NCCL is to work
    timeout = datetime.timedelta(minutes=timeout_minutes)
    try:
        store, rank, count = next(dist.rendezvous("env://", timeout=timeout))
        life = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # what dead processes left in the store is not ours
        store = dist.PrefixStore(f"life {life}, group {next(_groups)}", store)  # nor what --fold all left before
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise UserError(f"the other processes cannot be reached at {where} ({error}); start them by torchrun") from None
    return Ranks(dist.get_rank(), count)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Print nothing inside, as all processes but the first."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
