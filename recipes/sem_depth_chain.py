"""From simulated pairs and real SEM images to a submission, by ordinary commands.

``python -m recipes.sem_depth_chain --work sem_chain --minutes 1`` makes demo data and gives each training a minute.
``--dataroot`` names data of your own: train/sem, train/depth, train/real_sem/LEVEL/*, test/real_sem, and where it is
known test/real_depth, by which RMSE is told after each stage.

1. CycleGAN learns to make real images look simulated; 2. a U-Net for each fold learns depth from simulated pairs, and
translates what CycleGAN made of the real test images; 3. a classifier tells the level of the background from real
images sorted by it, and what lies near it is snapped to it; 4. or what a mask, learned from the depth itself, takes for
background; 5. the folds are averaged, 6. snapped and zipped. What is done is not done again; an interrupted training
goes on.
"""

from __future__ import annotations

import argparse
import pathlib
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from data.classes import label_values
from data.listing import by_stem, images_in
from data.readers import read_image
from data.tools.submission import find_results
from recipes.chain import Stage, Words, call, follow
from util.errors import UserError, run_script


@dataclass
class Chain:
    """All stages in one folder.

    Args:
        call: runs a command.
        length: flags of all trainings, such as ``--time_budget 1m``.
        network: flags of the generators that make depth.
        width: filters of CycleGAN's networks.
        straight: whether a CycleGAN from real images to depth is tried too.
    """

    work: pathlib.Path
    data: pathlib.Path
    folds: int = 2
    seed: int = 0
    length: Words = field(default_factory=list)
    network: Words = field(default_factory=list)
    width: int = 32
    straight: bool = False
    encoder: str = "resnet18"
    call: Callable[[Words], None] = call

    def run(self) -> dict[str, float]:
        """Do what is not done; return RMSE by stage, where the truth is known."""
        rows: dict[str, float] = {}

        def measure(stage: Stage) -> None:
            if stage.depth is not None and self.truth.is_dir():
                rows[stage.title] = rmse(stage.depth, self.truth)
                print(f"--- {stage.title}: RMSE {rows[stage.title]:.4g}", flush=True)

        follow(self.stages(), self.work / "done", self.work / "runs", measure, self.call)
        return rows

    @property
    def truth(self) -> pathlib.Path:
        """Return the folder of the real test images' depth maps, which there need not be."""
        return self.data / "test" / "real_depth"

    def stages(self) -> Iterator[Stage]:
        """Yield the stages in order; what a stage needs is made by those before it."""
        real, simulated = self.data / "test" / "real_sem", self.work / "as_simulated"
        unets = [f"unet_{fold}" for fold in range(1, self.folds + 1)]
        yield self._split()
        if self.straight:
            yield self._cycle_gan("straight", "--dataset_mode sem_depth --sem_domain real")
            yield self._depth("straight", real, "depth_straight", "CycleGAN straight to depth")
        yield self._cycle_gan("gan", "--dataset_mode unaligned --dir_A real_sem --dir_B sem")
        yield self._translate("gan", real, simulated)
        for fold, name in enumerate(unets, start=1):
            yield self._pairs(name, "pix2pix", fold, "--lambda_GAN 0 --best_metric rmse")
        yield self._depth(unets[0], real, "depth_direct", "U-Net, real images as they are")
        yield self._depth(unets[0], simulated, "depth_simulated", "CycleGAN, U-Net")
        yield from self._levels(real)
        yield self._snap("depth_simulated", "depth_snapped", ["--tolerance", self._tolerance()], "with the level")
        yield self._pairs("masks", "levels", 1, f"--level_encoder {self.encoder}")
        yield self._test("masks", simulated)
        masks = ["--mask", str(self.results("masks"))]
        yield self._snap("depth_simulated", "depth_masked", masks, "with the level by the mask of the background")
        yield self._depth(",".join(unets), simulated, "depth_mean", f"mean of {self.folds} folds")
        yield self._snap("depth_mean", "final", ["--tolerance", self._tolerance()], "mean of the folds with the level")
        yield self._submission()

    def results(self, name: str) -> pathlib.Path:
        """Return where test.py puts what a run makes of a folder of images."""
        return self.work / "results" / name / "test_latest"

    def _split(self) -> Stage:
        out = str(self.work / "folds")
        folders = f"--dir_A sem --dir_B depth --folds {self.folds} --test_fraction 0 --link --seed {self.seed}"
        words = ["prepare.py", "split", "--dataroot", str(self.data / "train"), "--out", out, *shlex.split(folders)]
        return Stage("folds", words, pathlib.Path(out))

    def _train(self, name: str, words: str, dataroot: pathlib.Path) -> Stage:
        common = "--input_nc 1 --output_nc 1 --preprocess none --display_id -1 --batch_size 4"
        place = ["--checkpoints_dir", str(self.work / "runs"), "--name", name, "--dataroot", str(dataroot)]
        chosen = [*shlex.split(words), *shlex.split(common), "--seed", str(self.seed)]
        return Stage(name, ["train.py", *place, *chosen, *self.length])

    def _cycle_gan(self, name: str, domains: str) -> Stage:
        words = f"--model cycle_gan {domains} --netG resnet_6blocks --ngf {self.width} --ndf {self.width} --val_freq 0"
        return self._train(name, words, self.data)

    def _pairs(self, name: str, model: str, fold: int, more: str) -> Stage:
        words = f"--model {model} --dataset_mode sem_depth {more} {shlex.join(self.network)}"
        return self._train(name, words, self.work / "folds" / f"fold_{fold}")

    def _levels(self, real: pathlib.Path) -> Iterator[Stage]:
        words = f"--model classify --dir_A real_sem --classes {','.join(self.classes())} --class_encoder {self.encoder}"
        yield self._train("classes", words, self.data)
        yield self._test("classes", real.parent)  # the run knows the folder in it

    def classes(self) -> list[str]:
        """Return the folders of the real training images, each named by its level; UserError where there are none."""
        folder = self.data / "train" / "real_sem"
        names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        if len(names) < 2:
            raise UserError(f"{folder}: sort the images into folders that are named by the level, such as level_04000")
        return names

    def _tolerance(self) -> str:
        """Return half of the smallest distance of two levels."""
        return f"{np.diff(sorted(label_values(self.classes()))).min() / 2:g}"

    def _open(self, name: str) -> Words:
        return ["test.py", "--checkpoints_dir", str(self.work / "runs"), "--name", name]

    def _translate(self, name: str, source: pathlib.Path, out: pathlib.Path) -> Stage:
        words = [*self._open(name), "--input", str(source), "--output", str(out)]
        together = ["--ensemble", "mean"] if "," in name else []
        return Stage(f"translate_{out.name}", [*words, *together])

    def _depth(self, name: str, source: pathlib.Path, out: str, title: str) -> Stage:
        stage = self._translate(name, source, self.work / out)
        return Stage(stage.name, stage.words, depth=self.work / out, title=title)

    def _test(self, name: str, source: pathlib.Path) -> Stage:
        words = ["--dataset_mode", "single", "--dataroot", str(source), "--results_dir", str(self.work / "results")]
        return Stage(f"test_{name}", [*self._open(name), *words])

    def _snap(self, depth: str, out: str, how: Words, title: str) -> Stage:
        folders = {"depth": self.work / depth, "levels": self.results("classes"), "out": self.work / out}
        words = [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]
        made = self.work / out
        return Stage(f"snap_{out}", ["prepare.py", "snap", *words, *how], made, made, title)

    def _submission(self) -> Stage:
        sample = ["--expected", str(self.truth)] if self.truth.is_dir() else []
        words = ["--results", str(self.work / "final"), "--out", str(self.work / "submission.zip"), *sample]
        return Stage("submission", ["prepare.py", "submission", *words])


def rmse(depth: pathlib.Path, truth: pathlib.Path) -> float:
    """Return the root mean square error over all pixels of a folder of depth maps, in units of the files."""
    found, targets = find_results(depth, "fake_B"), by_stem(images_in(truth, "true depth maps"), truth)
    if unknown := sorted(found.keys() - targets.keys()):
        raise UserError(f"{truth}: no true depth map '{unknown[0]}'; add it, or take the whole folder away")
    differences = [
        (read_image(path).astype(np.float64) - read_image(targets[name]).astype(np.float64)).ravel()
        for name, path in found.items()
    ]
    return float(np.sqrt(np.mean(np.concatenate(differences) ** 2)))


def format_rows(rows: dict[str, float]) -> str:
    """Return the table of RMSE by stage."""
    lines = [f"| {title} | {value:.4g} |" for title, value in rows.items()]
    return "\n".join(["| Stage | RMSE |", "|---|---|", *lines])


def make_demo(out: pathlib.Path, count: int, size: int, seed: int) -> None:
    """Make demo data whose real images are sorted by the level of their background."""
    made = f"demo --kind sem_depth --by_level --count {count} --size {size} --seed {seed}"
    call(["prepare.py", *shlex.split(made), "--out", str(out)])


def main(argv: Words | None = None) -> int:
    """Run the chain and print the table."""
    parser = argparse.ArgumentParser(prog="python -m recipes.sem_depth_chain", allow_abbrev=False)
    parser.add_argument("--work", type=pathlib.Path, required=True, help="folder of everything that is made")
    parser.add_argument("--dataroot", type=pathlib.Path, help="your data; without it demo data are made")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each training (%(default)s)")
    parser.add_argument("--folds", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--size", type=int, default=64, help="pixels of the demo data (%(default)s)")
    parser.add_argument("--count", type=int, default=120, help="surfaces of the demo data (%(default)s)")
    parser.add_argument("--network", default="--netG unet --num_downs 6 --ngf 32", help="of depth (%(default)s)")
    parser.add_argument("--width", type=int, default=32, help="filters of CycleGAN's networks (%(default)s)")
    parser.add_argument("--straight", action="store_true", help="try a CycleGAN from real images to depth too")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    args = parser.parse_args(sys.argv[1:] if argv is None else argv)
    data = args.dataroot or args.work / "data"
    if args.dataroot is None:
        make_demo(data, args.count, args.size, args.seed)
    length = ["--time_budget", f"{args.minutes * 60:g}s"]
    network = shlex.split(args.network)
    chain = Chain(args.work, data, args.folds, args.seed, length, network, args.width, args.straight)
    print(format_rows(chain.run()))
    return 0


if __name__ == "__main__":
    run_script(main)
