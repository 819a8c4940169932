"""Each mix of losses and each GAN mode of pix2pix for equally many images, on the facades, several seeds.

``python -m benchmarks.losses --dataroot DIR --vgg_weights V --lpips_loss_weights S --lpips_weights A --fid_weights F``

All rows of a seed begin with the same weights and see the same images in the same order. LPIPS should be measured by
another network than --lpips_loss_weights, which one row learns from. What is done is not done again, so that ``--rows``
and ``--seeds`` may grow from call to call.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shlex
from collections.abc import Iterator

from benchmarks.page import machine
from benchmarks.verdicts import section
from recipes.chain import Stage, follow

METHOD = "--model pix2pix --netG unet_128 --direction BtoA --load_size 143 --crop_size 128 --val_freq 0 --display_id -1"
#: row -> its flags beside METHOD; pix2pix has lambda_L1 100 and gan_mode vanilla
ROWS = {
    "L1 alone": "--lambda_GAN 0",
    "GAN alone": "--lambda_L1 0",
    "L1 + GAN, vanilla": "",
    "L1 + GAN, lsgan": "--gan_mode lsgan",
    "L1 + GAN, hinge": "--gan_mode hinge",
    "L1 + GAN, wgangp": "--gan_mode wgangp",
    "L1 + GAN, relativistic": "--gan_mode relativistic",
    "L1 + GAN, relativistic_average": "--gan_mode relativistic_average",
    "L1 + GAN + R1": "--lambda_R1 1",
    "L1 + GAN + feature matching": "--lambda_FM 10",
    "L1 + GAN + VGG": "--lambda_VGG 10 --vgg_weights VGG",
    "L1 + GAN + LPIPS": "--lambda_LPIPS 10 --lpips_loss_weights LPIPS",
    "L1 + GAN + SSIM": "--lambda_SSIM 10",
    "L1 + GAN + focal frequency": "--lambda_frequency 10",
}
METRICS = {"LPIPS": True, "FID": True, "PSNR": False, "SSIM": False}  # whether less is better
_GAN = "L1 + GAN, vanilla"
CLAIMS = {
    "the GAN helps L1": (_GAN, "L1 alone"),
    "L1 helps the GAN": (_GAN, "GAN alone"),
    "lsgan beats vanilla": ("L1 + GAN, lsgan", _GAN),
    "hinge beats vanilla": ("L1 + GAN, hinge", _GAN),
    "wgangp beats vanilla": ("L1 + GAN, wgangp", _GAN),
    "relativistic beats vanilla": ("L1 + GAN, relativistic", _GAN),
    "relativistic_average beats vanilla": ("L1 + GAN, relativistic_average", _GAN),
    "R1 helps": ("L1 + GAN + R1", _GAN),
    "feature matching helps": ("L1 + GAN + feature matching", _GAN),
    "VGG helps": ("L1 + GAN + VGG", _GAN),
    "LPIPS helps": ("L1 + GAN + LPIPS", _GAN),
    "SSIM helps": ("L1 + GAN + SSIM", _GAN),
    "focal frequency helps": ("L1 + GAN + focal frequency", _GAN),
}


def flags(row: str, vgg: str, lpips: str) -> list[str]:
    """Return the flags of a row, with the files of its losses."""
    files = {"VGG": vgg, "LPIPS": lpips}
    return [files.get(word, word) for word in shlex.split(ROWS[row])]


def stages(args: argparse.Namespace, row: str, work: pathlib.Path, seed: int) -> Iterator[Stage]:
    """Yield the training of a row and its test."""
    place = ["--dataroot", args.dataroot, "--checkpoints_dir", str(work / "runs")]
    length = ["--n_epochs", str(args.epochs - args.epochs // 2), "--n_epochs_decay", str(args.epochs // 2)]
    length += ["--ngf", str(args.ngf), "--ndf", str(args.ngf), "--seed", str(seed)]
    measured = ["--lpips_weights", args.lpips_weights, "--fid_weights", args.fid_weights]
    name = row.replace(",", "").replace(" + ", " ").replace(" ", "_")
    own = flags(row, args.vgg_weights, args.lpips_loss_weights)
    yield Stage(name, ["train.py", *place, "--name", name, *shlex.split(METHOD), *own, *length])
    test = ["test.py", *place, "--name", name, "--precision", "fp32", *measured]
    yield Stage(f"test_{name}", [*test, "--results_dir", str(work / "results")], title=row)


def run_row(args: argparse.Namespace, row: str, seed: int) -> dict[str, float]:
    """Return the metrics of one row by one seed."""
    work = args.work / f"seed_{seed}"
    found: dict[str, float] = {}

    def read(stage: Stage) -> None:
        if stage.title:
            folder = work / "results" / stage.name.removeprefix("test_") / "test_latest"
            mean = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["mean"]
            by_kind = {name.partition("_")[0].upper(): value for name, value in mean.items()}  # fid_lite0: FID
            found.update({metric: by_kind[metric] for metric in METRICS})

    follow(stages(args, row, work, seed), work / "done", work / "runs", read)
    return found


def main() -> None:
    """Run all rows and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.losses", description=__doc__, allow_abbrev=False)
    parser.add_argument("--dataroot", required=True, help="pairs with train/ and test/, photo left, label right")
    parser.add_argument("--work", type=pathlib.Path, default="losses", help="folder of all runs (%(default)s)")
    parser.add_argument("--rows", help=f"some of: {'; '.join(ROWS)}; by semicolons (all)")
    parser.add_argument("--seeds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--epochs", type=int, default=70, help="the second half with a falling rate (%(default)s)")
    parser.add_argument("--ngf", type=int, default=32, help="filters of both networks (%(default)s)")
    parser.add_argument("--vgg_weights", required=True, help="VGG19 of the VGG loss")
    parser.add_argument("--lpips_loss_weights", required=True, help="network of the LPIPS loss")
    parser.add_argument("--lpips_weights", required=True, help="network that measures LPIPS")
    parser.add_argument("--fid_weights", required=True, help="network that measures FID")
    args = parser.parse_args()
    rows = args.rows.split(";") if args.rows else list(ROWS)
    if unknown := [row for row in rows if row not in ROWS]:
        parser.error(f"--rows {unknown[0]}: no such row; there are {'; '.join(ROWS)}")
    found = [{row: run_row(args, row, seed) for row in rows} for seed in range(args.seeds)]
    for metric, lower in METRICS.items():
        values = [{row: means[metric] for row, means in rows.items()} for rows in found]
        print(section(values, CLAIMS, metric, lower=lower, places=2 if metric in ("PSNR", "FID") else 4), end="\n\n")
    lpips, fid = (pathlib.Path(path).name for path in (args.lpips_weights, args.fid_weights))
    print(f"{args.epochs} epochs a training, {args.seeds} seeds, LPIPS by {lpips}, FID by {fid}. {machine()}.")


if __name__ == "__main__":
    main()
