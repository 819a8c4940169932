"""Seconds and memory of a training step as images and batches grow: a plain eager loop and ours, in turn.

python -m benchmarks.growth [--write] [--rounds N] [--work "NAME;NAME"]

Every measurement is a process of its own with one thread, because the peak of the memory is that of the process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from benchmarks.page import machine, publish, table
from benchmarks.textbook_training import Step
from benchmarks.training import WORKS, Work, ours

_PIX2PIX, _CYCLE = WORKS["pix2pix b1"], WORKS["cycle_gan b1"]
GROWTH = {
    f"{name}, {work.network}, {size} x {size}, batch {batch}": dataclasses.replace(work, size=size, batch=batch)
    for name, work, cells in (
        ("pix2pix", _PIX2PIX, ((256, 1), (256, 2), (256, 4), (512, 1))),
        ("CycleGAN", _CYCLE, ((128, 1), (128, 4), (256, 1))),
    )
    for size, batch in cells
}
LOOPS = ("textbook", "ours")
_WARM = 3  # steps in which memory is still being allocated


def measure(work: Work, loop: str, words: list[str]) -> tuple[float, float]:
    """Return the processor seconds of a step and the peak of this process's memory in gigabytes."""
    device = torch.device("cpu")
    step: Step = ours(work, device, words) if loop == "ours" else work.textbook(device, work.network).step
    images = [torch.rand(work.batch, 3, work.size, work.size) * 2 - 1 for _ in "AB"]
    for _ in range(_WARM):
        step(*images)
    began = time.process_time()
    step(*images)
    seconds = time.process_time() - began
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measure_apart(name: str, loop: str, words: list[str]) -> list[float]:
    """Return what :func:`measure` finds in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.growth", "--cell", json.dumps([name, loop]), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def row(name: str, found: dict[str, list[list[float]]]) -> list[str]:
    """Return one work's row: medians of both loops, the median ratio of neighbouring turns, and the peaks."""
    seconds = {loop: [turn[0] for turn in turns] for loop, turns in found.items()}
    peaks = [f"{max(turn[1] for turn in found[loop]):.2f}" for loop in LOOPS]
    ratio = statistics.median(a / b for a, b in zip(seconds["textbook"], seconds["ours"], strict=True))
    return [name, *(f"{statistics.median(seconds[loop]):.2f}" for loop in LOOPS), f"{ratio:.2f}x", *peaks]


def section(names: list[str], rounds: int, words: list[str]) -> str:
    """Measure; return the table, the machine and the command."""
    lines = []
    for name in names:
        found: dict[str, Any] = {loop: [] for loop in LOOPS}
        for _ in range(rounds):
            for loop in LOOPS:
                found[loop].append(measure_apart(name, loop, words))
        lines.append(row(name, found))
        print(" ".join(lines[-1]), file=sys.stderr)
    head = ["Work", "Textbook, s", "Ours, s", "Ratio", "Textbook, GB", "Ours, GB"]
    how = f"Processor seconds of a step in one thread, medians of {rounds} rounds, and peak memory of the process."
    command = shlex.join(["python", "-m", "benchmarks.growth", *sys.argv[1:]])
    return f"{table(head, lines)}\n\n{how} {machine()}. `{command}`"


def main() -> None:
    """Print the table, and with ``--write`` put it into docs/performance.md; other flags go to our loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each loop")
    parser.add_argument("--work", default=";".join(GROWTH), help=f"rows of {'; '.join(GROWTH)}, by semicolons")
    parser.add_argument("--cell", type=json.loads, help=argparse.SUPPRESS)
    args, words = parser.parse_known_args()
    if args.cell:
        name, loop = args.cell
        print(json.dumps(measure(GROWTH[name], loop, words)))
        return
    text = section(args.work.split(";"), args.rounds, words)
    publish("growth", text, write=args.write)


if __name__ == "__main__":
    main()
