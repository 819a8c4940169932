"""One process of several trainings: run by torchrun from test_ranks.py, writes weights and losses of each."""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

import torch

from commands.build import build_model
from data.common import LoaderOptions
from data.loader import EpochLoader, Shard
from options.train_options import TrainOptions
from training.ranks import Ranks, join_ranks
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute


class Noise:
    """Seven random pairs, pure functions of their index."""

    def __len__(self) -> int:
        return 7

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        random = torch.Generator().manual_seed(index)
        images = {side: torch.rand(3, 32, 32, dtype=torch.float64, generator=random) * 2 - 1 for side in "AB"}
        return images | {"A_paths": str(index), "key": generator.initial_seed()}


def train(ranks: Ranks, words: list[str], parts: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return the state after four steps, of 3, 3, 1 and 3 images."""
    options = TrainOptions().parse(["--dataroot", ".", *words])
    model = build_model(options, train=True).to(dtype).train()
    optimizing = OptimizerOptions(pool_size=2)
    updater = Updater(model, optimizing, StepOptions(accumulate=parts), 5, Compute(torch.device("cpu")), ranks)
    loading = LoaderOptions(batch_size=3, num_threads=0)
    loader = EpochLoader(Noise(), loading, seed=1, shuffle=True, shard=Shard(ranks.rank, ranks.count, parts))
    losses = []
    batches = itertools.islice(itertools.chain(loader.epoch(1), loader.epoch(2)), 4)
    for number, batch in enumerate(batches):
        batch = {key: value.to(dtype) if torch.is_tensor(value) else value for key, value in batch.items()}
        told = updater.step(batch, number)
        losses.append({name: value.item() for name, value in told.items()})
    pools = {name: pool.state_dict() for name, pool in updater.pools.items()}
    return {"networks": model.state_dict(), "losses": losses, "pools": pools}


def main() -> None:
    """Train every variant and write ``OUT.<rank>.pth``; argv: OUT, then the variants as JSON."""
    out, variants = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(1)
    ranks = join_ranks(torch.device("cpu"))
    states = {
        name: train(ranks, variant["words"], variant["parts"], getattr(torch, variant["dtype"]))
        for name, variant in variants.items()
    }
    torch.save(states, f"{out}.{ranks.rank}.pth")
    ranks.close()


if __name__ == "__main__":
    main()
