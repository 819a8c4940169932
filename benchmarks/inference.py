"""Milliseconds of translating an image: a plain eager fp32 loop and every engine, in turn, in one process.

python -m benchmarks.inference [--write] [--threads N] [--rounds N] [--work NAME,NAME] [--weights NAME=FILE ...]

Processor time is measured, which other programs on the machine change less than the clock on the wall; with one
thread the two are the same on an idle machine. PSNR is against the output of the networks themselves in fp32.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import a2b
from benchmarks.page import machine, publish, table
from benchmarks.textbook_training import plain
from inference.engines.choice import Choice
from inference.engines.graph_engine import GraphEngine
from inference.engines.torch_engine import TorchEngine
from inference.export.measure import compare, trial_images
from inference.predictor import use_image_statistics
from models.files import load_into
from models.networks import GENERATORS
from util.device import fastest_precision
from util.errors import UserError

Run = Callable[[Tensor], Tensor]
CPU = torch.device("cpu")
TEXTBOOK = "textbook, fp32"
WORKS: dict[str, dict[str, Any]] = {
    "resnet_9blocks": {"norm": "instance", "no_dropout": True},
    "resnet_6blocks": {"norm": "instance", "no_dropout": True},
    "unet_256": {"norm": "batch"},
    "rrdb": {},
}
ENGINES = {
    "torch, fp32": Choice(),
    "torch, fp32, compiled": Choice(compile="default"),
    "torch, bf16": Choice("bf16"),
    "torch, bf16, compiled": Choice("bf16", compile="default"),
    "onnxruntime, fp32": Choice(backend="onnxruntime"),
    "onnxruntime, int8": Choice("int8", "onnxruntime"),
    "openvino, fp32": Choice(backend="openvino"),
    "openvino, bf16": Choice("bf16", "openvino"),
    "openvino, int8": Choice("int8", "openvino"),
}


def generator(name: str, weights: str | None) -> nn.Module:
    """Return a network as test.py would run it: random, or with the weights of a file."""
    torch.manual_seed(0)
    network = a2b.build_generator(name, **WORKS[name]).eval().requires_grad_(False)
    if weights is not None:
        load_into(network, pathlib.Path(weights))
    if getattr(network, "test_norm", "running") == "batch":
        use_image_statistics(network)
    return network


def textbook(network: nn.Module) -> Run:
    """Return the network with torch's own norms, called as every tutorial does."""
    model = plain(copy.deepcopy(network))
    return lambda image: model(image)


def images_of(folder: str | None, count: int) -> list[Tensor]:
    """Return (1,3,256,256) in [-1,1]: middles of a folder's images, or made-up ones."""
    if folder is None:
        return [image * 2 - 1 for image in trial_images(3, 256)[:1]] + [
            trial_images(3, 256, 256 + 256 * number)[0][..., :256, :256] * 2 - 1 for number in range(1, count)
        ]
    from data.readers import read_image

    files = sorted(path for path in pathlib.Path(folder).iterdir() if path.is_file())[:count]
    found = []
    for file in files:
        image = torch.from_numpy(read_image(file)[:256, -256:, :3].copy()).permute(2, 0, 1)[None]
        found.append(image.float() / 127.5 - 1)
    return found


def engine(network: nn.Module, choice: Choice, calibration: list[Tensor]) -> Run:
    """Return one engine of a network."""
    if choice.plain:
        return network
    if choice.backend == "torch":
        return TorchEngine(network, CPU, choice)
    return GraphEngine(network, choice, calibration, fastest_precision(CPU)[0])


def seconds(run: Run, image: Tensor) -> float:
    """Return the processor seconds of one image."""
    began = time.process_time()
    run(image)
    return time.process_time() - began


def peak(dtype: torch.dtype) -> float:
    """Return the FLOP per processor second of a large convolution, the fastest of five."""
    x = torch.rand(4, 256, 64, 64, dtype=dtype).contiguous(memory_format=torch.channels_last)
    convolution = nn.Conv2d(256, 256, 3, padding=1, bias=False).to(dtype).to(memory_format=torch.channels_last)
    flops = 2 * 9 * 256 * 256 * 4 * 64 * 64
    times = [seconds(convolution, x) for _ in range(6)]
    return flops / min(times[1:])


@torch.no_grad()
def measure(name: str, weights: str | None, rounds: int, judged: list[Tensor], calibration: list[Tensor]) -> Any:
    """Return times, PSNR and seconds to get ready, by engine, and the FLOP of an image."""
    network = generator(name, weights)
    with FlopCounterMode(display=False) as counter:
        expected = [network(image) for image in judged]
    runs: dict[str, Run] = {TEXTBOOK: textbook(network)}
    ready, psnr = {}, {}
    for label, choice in {TEXTBOOK: Choice(), **ENGINES}.items():
        began = time.perf_counter()  # compilers are processes of their own
        try:
            runs.setdefault(label, engine(network, choice, calibration))(judged[0])
        except (UserError, ImportError) as error:
            print(f"{name}, {label}: left out, {error}")
            runs.pop(label, None)
            continue
        ready[label] = time.perf_counter() - began
        found = (runs[label](image) * 0.5 for image in judged)
        psnr[label] = compare([image * 0.5 for image in expected], found)[1]
    times: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(rounds):
        for label, run in runs.items():
            times[label].append(seconds(run, judged[0]))
    flops = counter.get_total_flops() / len(judged)
    return {"times": times, "ready": ready, "psnr": psnr, "flops": flops}


def rows(name: str, found: Any, bf16: float) -> list[list[str]]:
    """Return a row of each engine."""
    lines, slow = [], found["times"][TEXTBOOK]
    for label, times in found["times"].items():
        median, psnr = statistics.median(times), found["psnr"][label]
        ratio = statistics.median(a / b for a, b in zip(slow, times, strict=True))
        warm = max(0.0, found["ready"][label] - median)
        spread = f"{1e3 * min(times):.0f} to {1e3 * max(times):.0f}"
        close = "equal" if math.isinf(psnr) else f"{psnr:.1f}"
        share = f"{found['flops'] / median / bf16:.0%}"
        lines.append([name, label, f"{1e3 * median:.0f}", spread, f"{ratio:.1f}x", close, f"{warm:.1f}", share])
    return lines


def main() -> None:
    """Print the table, and with ``--write`` put it into docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--threads", type=int, default=1, help="of the processor")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine")
    parser.add_argument("--work", default="resnet_9blocks,unet_256", help=f"rows of {', '.join(WORKS)}")
    parser.add_argument("--weights", nargs="*", default=[], help="NAME=FILE; without them weights are random")
    parser.add_argument("--images", help="folder of images to judge and time on; none: made-up ones")
    parser.add_argument("--calibrate", help="folder of other images to calibrate int8 on; none: made-up ones")
    args = parser.parse_args()
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # the first compilation is what is shown
    torch.set_num_threads(args.threads)
    weights = dict(word.split("=", 1) for word in args.weights)
    judged, made_up = images_of(args.images, 4), images_of(args.calibrate, 12)
    calibration = made_up if args.calibrate else made_up[4:]
    names = [name for name in args.work.split(",") if name in GENERATORS.names()]
    peaks = {dtype: peak(dtype) for dtype in (torch.float32, torch.bfloat16)}
    trained = f"Weights of {', '.join(weights)} trained, others random." if weights else "Random weights."
    text = (
        f"One image of 256 x 256, {args.rounds} rounds, medians of processor time, {args.threads} thread(s). {trained} "
        f"Convolution peaks: fp32 {peaks[torch.float32] / 1e9:,.0f}, bf16 {peaks[torch.bfloat16] / 1e9:,.0f} GFLOP/s; "
        f"the last column is of the latter. {machine()}. `python -m benchmarks.inference --write`"
    )
    lines = []
    for name in names:  # written after each: an interruption keeps what is measured
        lines += rows(name, measure(name, weights.get(name), args.rounds, judged, calibration), peaks[torch.bfloat16])
        publish("inference", f"{table(_HEAD, lines)}\n\n{text}", write=args.write)


_HEAD = ("Network", "Engine", "ms", "Spread", "Ratio", "PSNR dB", "Warm-up s", "Of bf16 peak")

if __name__ == "__main__":
    main()
