"""Does a U-Net on an NFNet break from the first epoch, and does adaptive gradient clipping mend it?

``python -m benchmarks.nfnet --dataroot sem_data --seeds 3``

Trains each learning rate with and without ``--agc`` for a few epochs, guards off as far as they go: a step whose
gradient is not finite is left out and counted. Runs that are complete are not repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import math
import pathlib
import shlex
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.page import machine, table
from training.loggers.jsonl import read
from util.errors import UserError

DATA = "--dataset_mode sem_depth --input_nc 1 --output_nc 1 --preprocess none --batch_size 4"
METHOD = "--model pix2pix --lambda_GAN 0 --netG timm_unet --ngf 8 --val_freq 1 --best_metric rmse"
QUIET = "--no_html --display_id -1 --gpu_ids -1 --num_threads 0 --print_freq 4 --no_flip"


def words(args: argparse.Namespace, rate: str, agc: str, seed: int) -> list[str]:
    """Return the command line of one training."""
    run = ["--dataroot", args.dataroot, "--checkpoints_dir", str(args.runs), "--name", f"lr{rate}_agc{agc}_seed{seed}"]
    chosen = ["--encoder", args.encoder, "--lr", rate, "--agc", agc, "--seed", str(seed)]
    length = ["--n_epochs", str(args.epochs), "--n_epochs_decay", "0"]
    return [*shlex.split(f"{METHOD} {DATA} {QUIET}"), *chosen, *length, *run]


def outcome(folder: pathlib.Path, steps: int) -> dict[str, Any]:
    """Return the first step with a loss that is not finite (None: no such), the last loss, and the best RMSE."""
    records = read(folder / "losses.jsonl")
    training = [record for record in records if "G_L1" in record["losses"]]
    broken = next((record["step"] for record in training if record["losses"]["G_L1"] is None), None)
    best = folder / "best.json"
    rmse = json.loads(best.read_text(encoding="utf-8"))["value"] if best.is_file() else None
    last = [record["losses"]["G_L1"] for record in training[-steps:]]
    loss = statistics.fmean(last) if last and None not in last else None
    return {"broken": broken, "loss": loss, "rmse": rmse if rmse is not None and math.isfinite(rmse) else None}


def train(args: argparse.Namespace, rate: str, agc: str, seed: int) -> dict[str, Any]:
    """Return the outcome of one training; that of an earlier command is taken from its folder."""
    command = words(args, rate, agc, seed)
    folder = args.runs / command[-1]
    done = folder / "outcome.json"
    if done.is_file():
        return json.loads(done.read_text(encoding="utf-8"))
    from commands.training import TrainingSession
    from options.train_options import TrainOptions

    stopped, said = "", io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            TrainingSession(TrainOptions().parse(command)).run()
    except UserError as error:
        stopped = str(error)
    facts = outcome(folder, args.last) | {"stopped": stopped, "left_out": said.getvalue().count("note: ")}
    done.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts


def row(rate: str, agc: str, found: Sequence[dict[str, Any]]) -> list[str]:
    """Return one row of the table: how many seeds broke and when, and the mean of what the others reached."""
    broken = [f["broken"] for f in found if f["broken"] is not None]
    left_out = sum(f["left_out"] for f in found)
    finite = [f for f in found if f["loss"] is not None and f["rmse"] is not None]
    means = [statistics.fmean(f[key] for f in finite) if finite else math.nan for key in ("loss", "rmse")]
    spread = f" ± {statistics.stdev(f['rmse'] for f in finite):.0f}" if len(finite) > 1 else ""
    when = f"{len(broken)} of {len(found)}" + (f", first at step {min(broken)}" if broken else "")
    return [rate, agc, when, str(left_out), f"{means[0]:.2f}", f"{means[1]:.0f}{spread}"]


def main() -> None:
    """Train all rows and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nfnet", description=__doc__, allow_abbrev=False)
    parser.add_argument("--dataroot", required=True, help="made by prepare.py demo --kind sem_depth")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("checkpoints/nfnet"), help="(%(default)s)")
    parser.add_argument("--encoder", default="nfnet_l0", help="NFNet of timm (%(default)s)")
    parser.add_argument("--rates", default="0.0002,0.002,0.02", help="learning rates, by commas (%(default)s)")
    parser.add_argument("--agc", default="0,0.01", help="clipping factors, by commas; 0 does not clip (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--last", type=int, default=24, help="steps whose mean loss is shown (%(default)s)")
    args = parser.parse_args()
    rows = []
    for rate, agc in itertools.product(args.rates.split(","), args.agc.split(",")):
        found = [train(args, rate, agc, seed) for seed in range(args.seeds)]
        rows.append(row(rate, agc, found))
        print(rows[-1], file=sys.stderr, flush=True)
    print(table(["--lr", "--agc", "seeds with a loss not finite", "steps left out", "loss", "val RMSE"], rows))
    print(f"\n{args.encoder}, {args.epochs} epochs, {args.seeds} seeds. {machine()}.")


if __name__ == "__main__":
    main()
