"""What teams of an SEM depth competition reported, tried on simulated data with a real shift of domain, several seeds.

``python -m benchmarks.depth_chain --work depth_chain --seeds 3 --minutes 10``

They told of an RMSE of about 14 by CycleGAN, 6.9 by a U-Net after it, slightly better with the level of the background,
slightly worse with a mask of the holes. Each seed is the whole chain of ``recipes.sem_depth_chain`` with its own data
and weights; each training has the same budget, of the clock. What is done is not done again.
"""

from __future__ import annotations

import argparse
import pathlib
import shlex

from benchmarks.page import machine
from benchmarks.verdicts import section
from recipes.sem_depth_chain import Chain, make_demo

#: a claim -> the row that should be lower, and the row that it should be lower than
CLAIMS = {
    "a U-Net after CycleGAN beats CycleGAN alone": ("CycleGAN, U-Net", "CycleGAN straight to depth"),
    "CycleGAN before the U-Net helps": ("CycleGAN, U-Net", "U-Net, real images as they are"),
    "the level of the background helps": ("with the level", "CycleGAN, U-Net"),
    "a mask of the background is worse than nearness to the level": (
        *("with the level", "with the level by the mask of the background"),
    ),
    "the mean of folds helps": ("mean of 2 folds", "CycleGAN, U-Net"),
}


def run_seed(args: argparse.Namespace, seed: int) -> dict[str, float]:
    """Return RMSE by stage of the chain of one seed."""
    work = args.work / f"seed_{seed}"
    make_demo(work / "data", args.count, args.size, seed)
    length = ["--time_budget", f"{args.minutes * 60:g}s"]
    network = shlex.split(args.network)
    return Chain(work, work / "data", 2, seed, length, network, args.width, straight=True).run()


def main() -> None:
    """Run all seeds and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.depth_chain", description=__doc__, allow_abbrev=False)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder of everything that is made")
    parser.add_argument("--seeds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each training (%(default)s)")
    parser.add_argument("--count", type=int, default=240, help="surfaces of the data (%(default)s)")
    parser.add_argument("--size", type=int, default=128, help="of the images, in pixels (%(default)s)")
    parser.add_argument("--network", default="--netG unet --num_downs 7 --ngf 32", help="of depth (%(default)s)")
    parser.add_argument("--width", type=int, default=32, help="filters of CycleGAN's networks (%(default)s)")
    args = parser.parse_args()
    found = [run_seed(args, seed) for seed in range(args.seeds)]
    print(section(found, CLAIMS, "RMSE", lower=True))
    print(f"\n{args.minutes:g} minutes a training, {args.count} surfaces of {args.size} pixels. {machine()}.")


if __name__ == "__main__":
    main()
