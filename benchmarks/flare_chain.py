"""What teams of a flare competition reported of context, shrinking and coordinates, tried on simulated flare.

``python -m benchmarks.flare_chain --work flare_chain --seeds 3 --minutes 10``

They told of a PSNR of about 27 by patches that see the whole image beside them, 28.5 by the whole image shrunk and 29
by patches of the shrunk image, and of nothing significant by more context. Each training has the same budget, of the
clock, and is measured on whole images. What is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shlex
from collections.abc import Iterator

from benchmarks.page import machine
from benchmarks.verdicts import section
from recipes.chain import Stage, call, follow

METHOD = "--model pix2pix --lambda_GAN 0 --netG resunet --norm none --residual --dir_A input --dir_B target"
_SHRUNK = "--preprocess crop --crop_size HALF --work_scale SHRINK"
#: row -> its flags; PATCH is what the generator sees of an image, SHRINK how many times smaller, SIDE the whole
ROWS = {
    "patches": "--preprocess crop --crop_size PATCH",
    "patches with context": "--preprocess crop --crop_size PATCH --context image",
    "patches with coordinates": "--preprocess crop --crop_size PATCH --coordinates",
    "whole image shrunk": "--preprocess none --crop_size SIDE --work_scale SHRINK",
    "patches of the shrunk image": _SHRUNK,
    "patches of the shrunk image with context": f"{_SHRUNK} --context image",
}
CLAIMS = {
    "the whole image shrunk beats patches with context": ("whole image shrunk", "patches with context"),
    "patches of the shrunk image beat the whole one": ("patches of the shrunk image", "whole image shrunk"),
    "context helps patches": ("patches with context", "patches"),
    "coordinates help patches": ("patches with coordinates", "patches"),
    "context helps patches of the shrunk image": (
        *("patches of the shrunk image with context", "patches of the shrunk image"),
    ),
}


def flags(row: str, size: int, shrink: int) -> list[str]:
    """Return the flags of a row for images of a size."""
    sizes = {"PATCH": size // shrink, "SHRINK": shrink, "SIDE": size, "HALF": size // 2}
    return [str(sizes.get(word, word)) for word in shlex.split(ROWS[row])]


def stages(args: argparse.Namespace, work: pathlib.Path, seed: int) -> Iterator[Stage]:
    """Yield a training and a test for each row."""
    data = ["--dataroot", str(work / "data")]
    place = ["--checkpoints_dir", str(work / "runs")]
    length = ["--time_budget", f"{args.minutes * 60:g}s", "--seed", str(seed), "--batch_size", str(args.batch_size)]
    length += ["--ngf", str(args.ngf), "--val_freq", "0", "--display_id", "-1"]
    for row in args.rows.split(",") if args.rows else ROWS:
        name = row.replace(" ", "_")
        words = [*shlex.split(METHOD), *flags(row, args.size, args.shrink), *length]
        yield Stage(name, ["train.py", *data, *place, "--name", name, *words])
        test = ["test.py", *data, *place, "--name", name, "--preprocess", "none"]
        yield Stage(f"test_{name}", [*test, "--results_dir", str(work / "results")], title=row)


def run_seed(args: argparse.Namespace, seed: int) -> dict[str, float]:
    """Return PSNR by row."""
    work = args.work / f"seed_{seed}"
    demo = f"demo --kind flare --count {args.count} --size {args.size} --seed {seed}"
    call(["prepare.py", *shlex.split(demo), "--out", str(work / "data")])
    rows: dict[str, float] = {}

    def read(stage: Stage) -> None:
        if stage.title:
            folder = work / "results" / stage.title.replace(" ", "_") / "test_latest"
            rows[stage.title] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["mean"]["psnr"]

    follow(stages(args, work, seed), work / "done", work / "runs", read)
    return rows


def main() -> None:
    """Run all seeds and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flare_chain", description=__doc__, allow_abbrev=False)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder of everything that is made")
    parser.add_argument("--seeds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each training (%(default)s)")
    parser.add_argument("--rows", help=f"some of: {', '.join(ROWS)}; by commas (all)")
    parser.add_argument("--count", type=int, default=240, help="scenes (%(default)s)")
    parser.add_argument("--size", type=int, default=512, help="of the images, in pixels (%(default)s)")
    parser.add_argument("--shrink", type=int, default=4, help="how many times smaller (%(default)s)")
    parser.add_argument("--ngf", type=int, default=32, help="filters of the generator (%(default)s)")
    parser.add_argument("--batch_size", type=int, default=4, help="(%(default)s)")
    args = parser.parse_args()
    if unknown := [row for row in (args.rows.split(",") if args.rows else []) if row not in ROWS]:
        parser.error(f"--rows {unknown[0]}: no such row; there are {', '.join(ROWS)}")
    found = [run_seed(args, seed) for seed in range(args.seeds)]
    print(section(found, CLAIMS, "PSNR", lower=False, places=2))
    print(f"\n{args.minutes:g} minutes a training, {args.count} scenes of {args.size} pixels. {machine()}.")


if __name__ == "__main__":
    main()
