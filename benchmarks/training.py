"""Seconds of a training step: a plain eager loop and ours, in turn, in one process.

python -m benchmarks.training [--write] [--threads N] [--rounds N] [--gpu_ids 0] [--work NAME,NAME]

Both run the same networks and losses on the same random images. The fraction is that of the fastest convolution that
is measured beside them in the arithmetic each of them uses.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import textbook_training
from benchmarks.page import machine, publish, table
from commands.build import build_model
from options.train_options import TrainOptions
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.compute import ComputeOptions
from util.device import choose_compute, choose_device


@dataclass(frozen=True)
class Work:
    """One row: the textbook step, our flags, and the batch."""

    textbook: Callable[[torch.device, str], textbook_training.Training]
    network: str
    words: tuple[str, ...]
    batch: int
    size: int = 256


WORKS = {
    "pix2pix b1": Work(textbook_training.pix2pix, "unet_256", ("--model", "pix2pix"), 1),
    "pix2pix b4": Work(textbook_training.pix2pix, "unet_256", ("--model", "pix2pix"), 4),
    "cycle_gan b1": Work(textbook_training.cycle_gan, "resnet_9blocks", ("--model", "cycle_gan"), 1),
    "cycle_gan b16": Work(textbook_training.cycle_gan, "resnet_9blocks", ("--model", "cycle_gan"), 16),
}


def ours(work: Work, device: torch.device, words: list[str]) -> textbook_training.Step:
    """Return our training step with the flags of a row and those of the command line."""
    options = TrainOptions().parse(["--dataroot", ".", *work.words, "--netG", work.network, *words])
    compute = choose_compute(options.of(ComputeOptions), device)
    print(compute.line())
    model = build_model(options, train=True).train()
    compute.place(model)
    updater = Updater(model, options.of(OptimizerOptions), options.of(StepOptions), 0, compute)
    count = 0

    def step(A: Tensor, B: Tensor) -> None:
        nonlocal count
        updater.step({"A": A, "B": B}, count)
        count += 1

    return step


def seconds(step: textbook_training.Step, images: tuple[Tensor, Tensor], steps: int) -> float:
    """Return the mean seconds of some steps, the device's work included."""
    began = time.perf_counter()
    for _ in range(steps):
        step(*images)
    if images[0].device.type != "cpu":
        torch.accelerator.synchronize()
    return (time.perf_counter() - began) / steps


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the best FLOP per second of 3x3 convolutions of 256 channels, the bulk of these networks."""
    x = torch.rand(4, 256, 64, 64, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.rand(256, 256, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    times = []
    for _ in range(12):
        began = time.perf_counter()
        torch.nn.functional.conv2d(x, weight, padding=1)[0, 0, 0, 0].item()
        times.append(time.perf_counter() - began)
    return 2 * 4 * 64 * 64 * 256 * 256 * 9 / min(times)


def measure(work: Work, device: torch.device, rounds: int, steps: int, words: list[str]) -> dict[str, Any]:
    """Return medians, spreads and the median ratio of interleaved rounds."""
    images = tuple(torch.rand(work.batch, 3, work.size, work.size, device=device) * 2 - 1 for _ in "AB")
    assert len(images) == 2
    loops = {"textbook": work.textbook(device, work.network).step, "ours": ours(work, device, words)}
    with FlopCounterMode(display=False) as counter:
        loops["textbook"](*images)
    seconds(loops["ours"], images, 2)
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, step in loops.items():
            times[name].append(seconds(step, images, steps))
    ratio = statistics.median(a / b for a, b in zip(times["textbook"], times["ours"], strict=True))
    return {"times": times, "ratio": ratio, "flops": counter.get_total_flops()}


def rows(name: str, found: dict[str, Any], peaks: dict[str, float]) -> list[list[str]]:
    """Return a row of each loop."""
    lines = []
    for loop, times in found["times"].items():
        median = statistics.median(times)
        spread = f"{min(times):.3f} to {max(times):.3f}"
        rate = found["flops"] / median
        share = f"{rate / peaks[loop]:.0%}"
        ratio = f"{found['ratio']:.2f}x" if loop == "ours" else "1x"
        lines.append([name, loop, f"{median:.3f}", spread, f"{rate / 1e9:,.0f}", share, ratio])
    return lines


def compare(names: list[str], gpu_ids: str, rounds: int, steps: int, words: list[str], command: str) -> str:
    """Return the whole section: table, machine and command."""
    device = choose_device(gpu_ids)
    peaks = {"textbook": peak(device, torch.float32), "ours": peak(device, torch.bfloat16)}
    lines = [line for n in names for line in rows(n, measure(WORKS[n], device, rounds, steps, words), peaks)]
    head = ["Work, 256 x 256", "Loop", "Seconds a step", "Spread", "GFLOP/s", "Of the peak", "Ratio"]
    text = (
        f"Convolution peaks: fp32 {peaks['textbook'] / 1e9:,.0f}, bf16 {peaks['ours'] / 1e9:,.0f} GFLOP/s. {rounds} "
        f"rounds of {steps} step(s), medians. {machine()}, {torch.get_num_threads()} thread(s). "
        f"`{command}`"
    )
    return f"{table(head, lines)}\n\n{text}"


def main() -> None:
    """Print the table, and with ``--write`` put it into docs/performance.md; other flags go to our loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--threads", type=int, default=0, help="of the processor; 0: all")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each loop")
    parser.add_argument("--steps", type=int, default=1, help="steps of a turn")
    parser.add_argument("--work", default="pix2pix b1,pix2pix b4,cycle_gan b1", help=f"rows of {', '.join(WORKS)}")
    parser.add_argument("--gpu_ids", default="-1", help="GPU, or -1 for the CPU")
    args, words = parser.parse_known_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    command = shlex.join(["python", "-m", "benchmarks.training", *sys.argv[1:]])
    section = compare(args.work.split(","), args.gpu_ids, args.rounds, args.steps, words, command)
    publish("training" if args.gpu_ids == "-1" else "training on a GPU", section, write=args.write)


if __name__ == "__main__":
    main()
