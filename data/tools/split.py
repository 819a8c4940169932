"""``prepare.py split``: a seeded train/val/test split of one folder, or of two parallel folders of pairs.

Files are copied (or hard-linked with --link); the originals stay as they are. Images that differ only in a trailing
``_itrK``, or share what --group_by matches, always land in the same phase. --folds makes one data set per fold of a
cross-validation in fold_1, fold_2 and so on; --match chooses a val that looks as a given test set does.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence

from data.folds import fold_of, group_of, ranked
from data.listing import images_in, relative_stem
from data.tools.folders import check_free, existing_folder, partial_folder
from util.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--dataroot", required=True, help="folder with the images, or with the two folders of pairs")
    parser.add_argument("--dir_A", help="folder of A below --dataroot, such as input")
    parser.add_argument("--dir_B", help="folder of B below --dataroot, such as target")
    parser.add_argument("--out", help="folder to make (default: DATAROOT_split)")
    parser.add_argument("--val_fraction", type=float, default=0.1, help="share of val (%(default)s)")
    parser.add_argument("--test_fraction", type=float, default=0.1, help="share of test (%(default)s)")
    parser.add_argument("--group_by", help="regular expression: names whose beginnings match alike stay together")
    parser.add_argument("--folds", type=int, help="this many data sets, each with another part of the images as val")
    parser.add_argument("--match", help="folder of test images: val is chosen to have their mean and variance")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same split (%(default)s)")
    parser.add_argument("--link", action="store_true", help="hard links in place of copies: no disk space")


def run(args: argparse.Namespace) -> None:
    """Split, and print how to train on the result; UserError for missing partners, bad values or an existing folder."""
    root = existing_folder("--dataroot", args.dataroot)
    folders = _pair_folders(args.dir_A, args.dir_B)
    out = pathlib.Path(args.out) if args.out else _beside(root)
    if out.resolve().is_relative_to(root.resolve()):
        raise UserError(f"--out {out}: lies inside --dataroot {root}; choose a folder outside it")
    if args.folds is not None and args.match:
        raise UserError("--folds and --match: every image is in val once with folds; give one of the two")
    check_free(out)
    files = {name: images_in(root / name, "images to split") for name in folders or ["."]}
    groups = {name: [group_of(relative_stem(p, root / name), args.group_by) for p in files[name]] for name in files}
    if folders:
        _check_partners(root, files, folders)
    names = [group for found in groups.values() for group in found]
    phases = assign(names, args.val_fraction if args.folds is None else 0.0, args.test_fraction, args.seed)
    if args.match:
        from data.tools.matching import rematch

        test = images_in(existing_folder("--match", args.match), "images to match")
        side = next(iter(files))
        phases = rematch(phases, dict(zip(files[side], groups[side], strict=True)), test, args.seed)
    plans = {"": phases} if args.folds is None else _folds(names, phases, args.folds, args.seed)
    _write(root, out, files, groups, plans, args.link)
    for place, plan in plans.items():
        _report(out / place, files, groups, plan, folders)


def _beside(root: pathlib.Path) -> pathlib.Path:
    """Return the default of --out."""
    return (root if root.name else root.absolute()).with_name(f"{root.resolve().name}_split")  # "." has no name


def _folds(names: Sequence[str], phases: Mapping[str, str], count: int, seed: int) -> dict[str, dict[str, str]]:
    """Return the phases of every group in each fold's folder; the test images are the same in all."""
    folds = fold_of([group for group in names if phases[group] == "train"], count, seed)
    return {
        f"fold_{number}": {g: "val" if folds.get(g) == number else phase for g, phase in phases.items()}
        for number in range(1, count + 1)
    }


def _pair_folders(dir_a: str | None, dir_b: str | None) -> list[str]:
    """Return the two folder names, or none; they are places in the new folder too, so they must lie below the root."""
    names = [name for name in (dir_a, dir_b) if name]
    if len(names) == 1 or len(set(names)) != len(names):
        raise UserError("--dir_A and --dir_B name two different folders together; give both")
    for name in names:
        path = pathlib.Path(name)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{name}: name --dir_A and --dir_B relative to --dataroot, without '..'")
    return names


def assign(groups: Sequence[str], val_fraction: float, test_fraction: float, seed: int) -> dict[str, str]:
    """Return the phase of every group; each phase with a share gets at least one group.

    The order is by a hash of seed and name, so it depends neither on the order of files nor on the platform.
    """
    for name, share in (("val", val_fraction), ("test", test_fraction)):
        if not 0.0 <= share < 1.0:
            raise UserError(f"--{name}_fraction {share:g}: give a share from 0 to below 1")
    order = ranked(groups, seed)
    val, test = (max(1, round(len(order) * share)) if share else 0 for share in (val_fraction, test_fraction))
    if val + test >= len(order):
        raise UserError(f"{len(order)} group(s) of images: too few for {val} in val, {test} in test and any in train")
    return {g: "val" if i < val else "test" if i < val + test else "train" for i, g in enumerate(order)}


def _check_partners(root: pathlib.Path, files: dict[str, list[pathlib.Path]], folders: Sequence[str]) -> None:
    """Every file needs a partner of the same stem, ``_itrK`` aside, in the other folder."""
    stems = {name: {group_of(relative_stem(p, root / name), None): p for p in files[name]} for name in folders}
    for these, those in (folders, folders[::-1]):
        missing = sorted(stems[these].keys() - stems[those].keys())
        if missing:
            raise UserError(
                f"{stems[these][missing[0]]}: no '{missing[0]}' in {root / those} "
                f"({len(missing)} without a partner); add or remove them"
            )


def _write(
    root: pathlib.Path,
    out: pathlib.Path,
    files: dict[str, list[pathlib.Path]],
    groups: dict[str, list[str]],
    plans: Mapping[str, Mapping[str, str]],
    link: bool,
) -> None:
    partial = partial_folder(out)
    place = os.link if link else shutil.copy2
    try:
        for (folder, phases), name in itertools.product(plans.items(), files):
            for path, group in zip(files[name], groups[name], strict=True):
                target = partial / folder / phases[group] / name / path.relative_to(root / name)
                target.parent.mkdir(parents=True, exist_ok=True)
                place(path, target)
        partial.rename(out)
    except OSError as error:
        hint = "; leave out --link" if link else ""
        raise UserError(f"--out {out}: {error.strerror or error}{hint}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _report(
    out: pathlib.Path,
    files: dict[str, list[pathlib.Path]],
    groups: dict[str, list[str]],
    phases: Mapping[str, str],
    folders: Sequence[str],
) -> None:
    for phase in ("train", "val", "test"):
        counts = [sum(phases[group] == phase for group in groups[name]) for name in files]
        print(f"{phase:5} {' + '.join(map(str, counts))} images")
    flags = f" --dir_A {folders[0]} --dir_B {folders[1]}" if folders else ""
    print(f"train with: --dataroot {out}{flags}")
