"""Quality after equal time: a plain training of pix2pix and ours, on the same pairs at the same moment.

python -m benchmarks.quality --dataroot datasets/facades --minutes 10,30 --lpips_weights FILE [--write]

Both get one processor thread, the same networks and losses, and a rate that falls by the clock; start-up counts. The
plain loop decodes each image every time, as established code does; it writes its generator into a copy of our run's
folder, so that one test.py judges both on the held-out pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import torch

from benchmarks import textbook_training
from benchmarks.page import machine, publish, table
from benchmarks.textbook_loader import TextbookPairs
from training.checkpoint import load_state

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_METRICS = ("lpips", "psnr", "ssim")


def rate(share: float) -> float:
    """Return the factor of the learning rate when a share of the time is over: 1 in the first half, then down to 0."""
    return min(1.0, 2.0 * (1.0 - share))


def train_textbook(args: argparse.Namespace) -> None:
    """Train the plain loop for ``--seconds``, and write its generator and the number of its steps."""
    torch.manual_seed(args.seed)
    folder = pathlib.Path(args.dataroot) / "train"
    pairs = TextbookPairs(folder, args.crop_size + args.crop_size // 8, args.crop_size)
    training = textbook_training.pix2pix(torch.device("cpu"), args.netG)
    steps = 0
    for batch in _endless(torch.utils.data.DataLoader(pairs, shuffle=True)):
        share = (time.monotonic() - args.began) / args.seconds
        if share >= 1:
            break
        for group in (group for optimizer in training.optimizers for group in optimizer.param_groups):
            group["lr"] = 0.0002 * rate(share)
        source, target = (batch["B"], batch["A"]) if args.direction == "BtoA" else (batch["A"], batch["B"])
        training.step(source, target)
        steps += 1
    torch.save(training.networks["G"].state_dict(), args.out)
    pathlib.Path(f"{args.out}.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")


def _endless(loader: torch.utils.data.DataLoader[dict[str, torch.Tensor]]) -> Iterator[dict[str, torch.Tensor]]:
    while True:
        yield from loader


def compare(args: argparse.Namespace, minutes: float, seed: int, folder: pathlib.Path) -> dict[str, dict[str, float]]:
    """Train both side by side for some minutes; return steps and metrics by loop."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    weights, runs = folder / f"{minutes:g}_{seed}.pth", folder / "runs"
    name = f"ours_{minutes:g}_{seed}"
    size = ["--load_size", str(args.crop_size + args.crop_size // 8), "--crop_size", str(args.crop_size)]
    common = ["--dataroot", args.dataroot, "--num_threads", "0", "--gpu_ids", "-1", "--checkpoints_dir", str(runs)]
    ours = ["train.py", "--model", "pix2pix", "--name", name, *common, "--time_budget", f"{minutes * 60:g}s"]
    ours += ["--direction", args.direction, "--netG", args.netG, *size, "--seed", str(seed), "--display_id", "-1"]
    plain = ["-m", "benchmarks.quality", "--dataroot", args.dataroot, "--direction", args.direction]
    plain += ["--netG", args.netG, "--crop_size", str(args.crop_size), "--seed", str(seed), "--out", str(weights)]
    plain += ["--seconds", str(minutes * 60), "--began", str(time.monotonic())]
    started = [
        subprocess.Popen([sys.executable, *words], cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL)
        for words in ([*ours, "--no_html", "--val_freq", "0", *args.words], plain)
    ]
    if any([process.wait() for process in started]):
        raise SystemExit("one of the trainings failed; its error is above")
    shutil.copytree(runs / name, runs / f"textbook_{minutes:g}_{seed}")
    shutil.copy(weights, runs / f"textbook_{minutes:g}_{seed}" / "latest_net_G.pth")
    steps = {"textbook": _textbook_steps(weights), "ours": _our_steps(runs / name)}
    return {
        loop: {"steps": steps[loop]} | _judge(args, common, f"{loop}_{minutes:g}_{seed}", folder / "results")
        for loop in ("textbook", "ours")
    }


def _textbook_steps(weights: pathlib.Path) -> int:
    return int(json.loads(pathlib.Path(f"{weights}.json").read_text(encoding="utf-8"))["steps"])


def _our_steps(run: pathlib.Path) -> int:
    return int(load_state(run)["position"][2])


def _judge(args: argparse.Namespace, common: list[str], name: str, results: pathlib.Path) -> dict[str, float]:
    """Return the mean metrics of a run on the held-out pairs, as test.py finds them."""
    words = ["test.py", "--name", name, *common, "--results_dir", str(results)]
    words += ["--lpips_weights", args.lpips_weights] if args.lpips_weights else []
    subprocess.run([sys.executable, *words], cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)
    report = json.loads((results / name / "test_latest" / "metrics.json").read_text(encoding="utf-8"))
    return {metric: report["mean"][metric] for metric in _METRICS if metric in report["mean"]}


def section(found: dict[float, list[dict[str, dict[str, float]]]], command: str) -> str:
    """Return a row of each loop and time: means over the seeds, with their range where there are several."""
    measured = next(iter(found.values()))[0]["ours"]
    metrics = [name for name in ("steps", *_METRICS) if name in measured]
    rows = [
        [f"{minutes:g}", loop, *(_cell([run[loop][metric] for run in runs], metric) for metric in metrics)]
        for minutes, runs in found.items()
        for loop in ("textbook", "ours")
    ]
    head = ["Minutes", "Loop", *(name.upper() if name in _METRICS else name.title() for name in metrics)]
    return f"{table(head, rows)}\n\n{machine()}, one thread for each loop. `{command}`"


def _cell(values: list[float], metric: str) -> str:
    form = "{:,.0f}" if metric == "steps" else "{:.2f}" if metric == "psnr" else "{:.4f}"
    mean = form.format(statistics.mean(values))
    return mean if len(values) == 1 else f"{mean} ({form.format(min(values))} to {form.format(max(values))})"


def main() -> None:
    """Print the table, and with ``--write`` put it into docs/performance.md; other flags go to our training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataroot", required=True, help="train/ and test/ with A and B side by side, such as facades")
    parser.add_argument("--direction", default="BtoA", choices=("AtoB", "BtoA"), help="which half is the source")
    parser.add_argument("--minutes", default="10,30", help="times to compare at")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each loop at each time")
    parser.add_argument("--netG", default="unet_256", help="generator of both")
    parser.add_argument("--crop_size", type=int, default=256, help="pixels; images are loaded an eighth larger")
    parser.add_argument("--lpips_weights", default="", help="local file of an LPIPS backbone")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)  # of the one plain training
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)  # on the clock that processes share
    parser.add_argument("--out", help=argparse.SUPPRESS)
    args, words = parser.parse_known_args()
    args.words = words
    if args.out:
        train_textbook(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {
            float(minutes): [compare(args, float(minutes), seed, pathlib.Path(folder)) for seed in range(args.seeds)]
            for minutes in args.minutes.split(",")
        }
    text = section(found, shlex.join(["python", "-m", "benchmarks.quality", *sys.argv[1:]]))
    publish("quality", text, write=args.write)


if __name__ == "__main__":
    main()
