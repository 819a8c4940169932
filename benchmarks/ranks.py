"""Seconds of a training step on one and on two processes of one thread each, in turn, and of the sum of gradients.

python -m benchmarks.ranks [--write] [--rounds N] [--work "NAME;NAME"]

Both processes are started once; in the turns of one process the other waits. Only the CPU is measured, over gloo.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import page
from commands.build import build_model
from data.loader import Shard
from options.train_options import TrainOptions
from training.ranks import Ranks, join_ranks
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute

PAGE = page.PAGE.with_name("many_gpus.md")
SIDE = 128
Times = dict[str, list[float]]


@dataclass(frozen=True)
class Work:
    """One row: our flags, and the batch over all processes."""

    words: tuple[str, ...]
    batch: int


WORKS = {
    "pix2pix, unet_128": Work(("--model", "pix2pix", "--netG", "unet_128"), 4),
    "CycleGAN, resnet_6blocks": Work(("--model", "cycle_gan", "--netG", "resnet_6blocks"), 2),
}


def stepper(work: Work, ranks: Ranks) -> tuple[Updater, Callable[[], None]]:
    """Return the updater of one process and its next step on this process's share of a random batch."""
    options = TrainOptions().parse(["--dataroot", ".", *work.words])
    model = build_model(options, train=True).train()
    updater = Updater(model, OptimizerOptions(), StepOptions(), 0, Compute(torch.device("cpu")), ranks)
    random, shard = torch.Generator().manual_seed(0), Shard(ranks.rank, ranks.count)
    own = sum(shard.pieces(range(work.batch)), [])
    images = {side: torch.rand(work.batch, 3, SIDE, SIDE, generator=random)[own] * 2 - 1 for side in "AB"}
    batch = images | {"key": own, "total": work.batch, "counts": shard.counts(work.batch)}
    count = iter(range(10**9))
    return updater, lambda: (updater.step(batch, next(count)), None)[1]


def timed(action: Callable[[], None], ranks: Ranks) -> tuple[float, float]:
    """Return the seconds by the clock until all processes are done, and this one's processor time."""
    ranks.wait()
    began, used = time.perf_counter(), time.process_time()
    action()
    used = time.process_time() - used
    ranks.wait()
    return time.perf_counter() - began, used


def measure(work: Work, ranks: Ranks, rounds: int) -> dict[str, Any]:
    """Return times of each kind of turn, on every process alike; processor times are those of all together."""
    _, alone = stepper(work, Ranks())
    updater, together = stepper(work, ranks)
    gradients = [torch.ones_like(weight) for weight in updater.model.parameters()]
    turns = {
        "one": alone if ranks.first else lambda: None,
        "two": together,
        "sum": lambda: ranks.sum(gradients),
    }
    wall: Times = {name: [] for name in turns}
    used: Times = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, action in turns.items():
            seconds, processor = timed(action, ranks)
            if number:  # the first turn allocates
                wall[name].append(seconds)
                used[name].append(sum(ranks.gather_rows({ranks.rank: processor}).values()))
    return {"wall": wall, "used": used, "bytes": sum(4 * gradient.numel() for gradient in gradients)}


def row(name: str, work: Work, found: dict[str, Any]) -> list[str]:
    """Return one work's row of medians."""
    wall, used = ({k: statistics.median(v) for k, v in found[kind].items()} for kind in ("wall", "used"))
    speed = statistics.median(a / b for a, b in zip(found["wall"]["one"], found["wall"]["two"], strict=True))
    seconds = [f"{wall['one']:.2f}", f"{wall['two']:.2f}", f"{speed:.2f}x"]
    processor = [f"{used['one']:.2f}", f"{used['two']:.2f}"]
    return [f"{name}, batch {work.batch}", *seconds, *processor, f"{wall['sum']:.2f} for {found['bytes'] / 1e6:.0f} MB"]


def section(found: dict[str, dict[str, Any]], rounds: int) -> str:
    """Return the table, the machine and the command."""
    head = [f"Work, {SIDE} x {SIDE}", "1 process", "2 processes", "Speed", "Processor, 1", "Processor, 2"]
    table = page.table([*head, "Sum of gradients"], [row(name, WORKS[name], times) for name, times in found.items()])
    how = f"Seconds a step, medians of {rounds} rounds, one thread a process, gloo, fp32."
    return f"{table}\n\n{how} {page.machine()}. `python -m benchmarks.ranks --write`"


def launch(words: list[str]) -> dict[str, dict[str, Any]]:
    """Start both processes by torchrun; return what they measured."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "times.json"
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "benchmarks.ranks"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, *command, *words, "--out", str(out)], env=environment, check=True)
        return json.loads(out.read_text(encoding="utf-8"))


def work_together(names: list[str], rounds: int, out: pathlib.Path) -> None:
    """Measure, as one of the two processes; the first writes the result."""
    torch.set_num_threads(1)
    ranks = join_ranks(torch.device("cpu"))
    found = {name: measure(WORKS[name], ranks, rounds) for name in names}
    if ranks.first:
        out.write_text(json.dumps(found), encoding="utf-8")
    ranks.close()


def main() -> None:
    """Print the table, and with ``--write`` put it into docs/many_gpus.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/many_gpus.md")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each kind")
    parser.add_argument("--work", default=";".join(WORKS), help=f"rows of {'; '.join(WORKS)}, by semicolons")
    parser.add_argument("--out", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    names = args.work.split(";")
    if args.out:
        work_together(names, args.rounds, args.out)
        return
    text = section(launch(["--rounds", str(args.rounds), "--work", args.work]), args.rounds)
    page.publish("ranks", text, write=args.write, page=PAGE)


if __name__ == "__main__":
    main()
