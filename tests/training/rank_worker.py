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
    """Seven random pairs, pure functions of their index, of which one may hold a NaN."""

    def __init__(self, poisoned: int | None) -> None:
        self.poisoned = poisoned

    def __len__(self) -> int:
        return 7

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        random = torch.Generator().manual_seed(index)
        images = {side: torch.rand(3, 32, 32, dtype=torch.float64, generator=random) * 2 - 1 for side in "AB"}
        if index == self.poisoned:
            images["A"][0, 3, 3] = torch.nan
        return images | {"A_paths": str(index), "key": generator.initial_seed()}


def starve(ranks: Ranks, network: torch.nn.Module) -> None:
    """Let memory run out on the first process whenever a network gets two samples or more."""

    def fail(_network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if ranks.first and len(inputs[0]) > 2:  # CycleGAN translates A and B at once
            raise torch.OutOfMemoryError

    network.register_forward_pre_hook(fail)


def train(
    ranks: Ranks,
    words: list[str],
    parts: int,
    dtype: str,
    starved: bool = False,
    poisoned: int | None = None,
    on_nan: str = "skip",
) -> dict[str, Any]:
    """Return the state after four steps, of 3, 3, 1 and 3 images.

    Args:
        starved: the discriminators learn alone in every other step, and memory runs out on the first process.
        poisoned: image that holds a NaN.
    """
    kind = getattr(torch, dtype)
    options = TrainOptions().parse(["--dataroot", ".", *words])
    model = build_model(options, train=True).to(kind).train()
    optimizing = OptimizerOptions(pool_size=2, d_steps=2 if starved else 1)
    stepping = StepOptions(accumulate=parts, on_nan=on_nan)
    updater = Updater(model, optimizing, stepping, 5, Compute(torch.device("cpu")), ranks)
    if starved:
        starve(ranks, model.get_submodule("G_A"))
    loading = LoaderOptions(batch_size=3, num_threads=0)
    loader = EpochLoader(Noise(poisoned), loading, seed=1, shuffle=True, shard=Shard(ranks.rank, ranks.count, parts))
    losses = []
    batches = itertools.islice(itertools.chain(loader.epoch(1), loader.epoch(2)), 4)
    for number, batch in enumerate(batches):
        batch = {key: value.to(kind) if torch.is_tensor(value) else value for key, value in batch.items()}
        told = updater.step(batch, number)
        losses.append({name: value.item() for name, value in told.items()})
    pools = {name: pool.state_dict() for name, pool in updater.pools.items()}
    return {"networks": model.state_dict(), "losses": losses, "pools": pools}


def gather(ranks: Ranks) -> dict[str, Any]:
    """Return what comes of images that are unequal in number and size."""
    images = torch.zeros(ranks.rank + 2, 1, 2 + ranks.rank, 3)
    images += 10.0 * ranks.rank + torch.arange(len(images)).view(-1, 1, 1, 1)
    together, own = ranks.in_order(images, [ranks.rank + 1, 1])
    return {"images": together, "own": own}


def main() -> None:
    """Train every variant and write ``OUT.<rank>.pth``; argv: OUT, then the variants as JSON."""
    out, variants = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(1)
    ranks = join_ranks(torch.device("cpu"))
    states = {name: train(ranks, **variant) for name, variant in variants.items()}
    states["gathered"] = gather(ranks)
    torch.save(states, f"{out}.{ranks.rank}.pth")
    ranks.close()


if __name__ == "__main__":
    main()
