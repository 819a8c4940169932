"""Where the processor time of our training step goes: shares of kinds of work, by torch's profiler.

python -m benchmarks.step_profile [--write] [--work NAME,NAME] [--steps N]

One thread, so that waiting for other threads is not counted as work.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterable

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.page import machine, publish, table
from benchmarks.training import WORKS, Work, ours

#: kind of work -> pattern of torch's names of it; the first that fits counts
KINDS = {
    "convolutions backward": r"convolution_backward",
    "convolutions forward": r"convolution",
    "matrix products, patches and sums of them": r"\b(mm|addmm|bmm)$|_Patches|_Sum|unfold",
    "copies: weights to bf16, their gradients back, layouts": r"copy_|contiguous|clone",
    "Adam": r"adam",
    "norms, both ways": r"batch_norm|var_mean|native_layer_norm",
    "padding and joining": r"pad|cat$|slice",
    "norm of the gradients": r"vector_norm",
    "activations and losses": r"relu|clamp|threshold|tanh|dropout|loss|softplus|sigmoid|bernoulli",
}
_REST, _WARM = "the rest", 3


def kind_of(operation: str) -> str:
    """Return the kind of work of an operation by torch's name of it."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, operation)), _REST)


def shares(events: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the share of each kind of work, of (operation, time) pairs."""
    found = dict.fromkeys([*KINDS, _REST], 0.0)
    for operation, time in events:
        found[kind_of(operation)] += time
    whole = sum(found.values())
    return {kind: time / whole for kind, time in found.items()}


def measure(work: Work, steps: int, words: list[str]) -> tuple[float, dict[str, float]]:
    """Return the seconds of a step, and the share of each kind of work in it."""
    step = ours(work, torch.device("cpu"), words)
    images = [torch.rand(work.batch, 3, work.size, work.size) * 2 - 1 for _ in "AB"]
    for _ in range(_WARM):
        step(*images)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            step(*images)
    events = [(event.key, event.self_cpu_time_total) for event in found.key_averages()]
    return sum(time for _, time in events) / steps / 1e6, shares(events)


def section(names: list[str], steps: int, words: list[str]) -> str:
    """Measure; return the table, the machine and the command."""
    found = {name: measure(WORKS[name], steps, words) for name in names}
    lines = [["seconds a step, profiled", *(f"{seconds:.2f}" for seconds, _ in found.values())]]
    lines += [[kind, *(f"{parts[kind]:.0%}" for _, parts in found.values())] for kind in [*KINDS, _REST]]
    command = shlex.join(["python", "-m", "benchmarks.step_profile", *sys.argv[1:]])
    return f"{table(['Share of', *names], lines)}\n\nMeans of {steps} steps in one thread. {machine()}. `{command}`"


def main() -> None:
    """Print the table, and with ``--write`` put it into docs/performance.md; other flags go to our loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--work", default="pix2pix b1,pix2pix b4,cycle_gan b1", help=f"rows of {', '.join(WORKS)}")
    parser.add_argument("--steps", type=int, default=3, help="steps that are profiled (%(default)s)")
    args, words = parser.parse_known_args()
    torch.set_num_threads(1)
    publish("profile", section(args.work.split(","), args.steps, words), write=args.write)


if __name__ == "__main__":
    main()
