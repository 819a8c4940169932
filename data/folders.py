"""Find the folder of one domain and phase, or say what was expected and what is there."""

from __future__ import annotations

import pathlib

from data.common import CommonDataOptions
from data.folds import fold_of, group_of
from data.listing import data_root, images_in, output_names, split_names
from util.errors import UserError

PHASES = ("train", "val", "test")


def locate(root: pathlib.Path, name: str, phase: str) -> tuple[pathlib.Path, bool]:
    """Return the folder of ``name`` for a phase, and whether it holds all phases and must be split.

    Looked for in this order: root/phase/name, root/name/phase, root/name. An absolute ``name`` stands for itself.
    """
    whole = root / name
    for folder in (whole / phase,) if pathlib.Path(name).is_absolute() else (root / phase / name, whole / phase):
        if folder.is_dir():
            return folder, False
    if any((whole / other).is_dir() for other in PHASES):
        return whole / phase, False
    if not whole.is_dir() and any((root / other / name).is_dir() for other in PHASES):
        return root / phase / name, False
    return whole, True


def in_phase(common: CommonDataOptions, names: list[str], phase: str, whole: bool = True) -> list[str]:
    """Return the names of one phase of folders that have no train/ and test/; all of them for the phase "all".

    Args:
        whole: whether the names are of all phases; otherwise they are returned as they are.

    Raises:
        UserError: ``--val_fraction 0`` forbids the split, or there is nothing to hold out; with the command to run.
            ``--folds`` asks to split what is split already.
    """
    if not whole and common.folds is not None:
        raise UserError(
            f"--folds {common.folds}: {common.dataroot} has folders for its phases already; name folders that hold all "
            "images by --dir_A and --dir_B, or make the folds by prepare.py split --folds"
        )
    if not whole or phase == "all":
        return names
    groups = {name: group_of(name, common.group_by) for name in names} if common.folds or common.group_by else {}
    chosen = _in_fold(common, groups, phase) if common.folds else _in_split(common, names, groups, phase)
    if not chosen:
        raise UserError(f"--dataroot {common.dataroot}: {len(names)} image(s) cannot be split; add images")
    return chosen


def _in_split(common: CommonDataOptions, names: list[str], groups: dict[str, str], phase: str) -> list[str]:
    if common.val_fraction == 0:
        command = f"python prepare.py split --dataroot {common.dataroot}"
        raise UserError(f"--dataroot {common.dataroot}: no {phase}/ in it and --val_fraction is 0; run: {command}")
    places = [groups.get(name, name) for name in names]
    kept = set(split_names(list(dict.fromkeys(places)), common.val_fraction, common.split_seed, phase))
    return [name for name, place in zip(names, places, strict=True) if place in kept]


def _in_fold(common: CommonDataOptions, groups: dict[str, str], phase: str) -> list[str]:
    count = common.folds or 0
    held_out = {str(number): number for number in range(1, count + 1)}.get(common.fold or "")
    if held_out is None:
        raise UserError(f"--fold {common.fold}: with --folds {count} give 1 to {count}, or all to train.py")
    folds = fold_of(groups.values(), count, common.split_seed)
    return [name for name, group in groups.items() if (folds[group] == held_out) != (phase == "train")]


def domain_files(
    common: CommonDataOptions,
    name: str | None,
    phase: str,
    default: str = "",
    *,
    but: pathlib.Path | None = None,
) -> tuple[list[pathlib.Path], list[str]]:
    """Return the files and output names of one unpaired domain.

    Args:
        name: ``--dir_A`` or ``--dir_B``; without it the folder is ``default`` below the root, such as trainA.
        but: a folder whose files are none of them, if it lies below.
    """
    root = data_root(common)
    folder, whole = locate(root, name, phase) if name else (root / default, False)
    expected = f"images of phase '{phase}'" + ("" if name else " there, or in folders named by --dir_A and --dir_B")
    files = _outside(but, folder, images_in(folder, expected))
    names = output_names(files, folder)
    kept = set(in_phase(common, names, phase, whole))
    files = [path for path, stem in zip(files, names, strict=True) if stem in kept]
    names = [stem for stem in names if stem in kept]
    return files[: common.max_dataset_size], names[: common.max_dataset_size]


def _outside(but: pathlib.Path | None, folder: pathlib.Path, files: list[pathlib.Path]) -> list[pathlib.Path]:
    """Return the files below a folder that are not in ``but``; UserError where there are none."""
    if but is None or not but.resolve().is_relative_to(folder.resolve()):
        return files
    inner = folder / but.resolve().relative_to(folder.resolve())
    kept = [path for path in files if inner not in path.parents]
    if not kept:
        raise UserError(f"{folder}: no images in it but those of {but}; keep these in a folder of their own")
    return kept
