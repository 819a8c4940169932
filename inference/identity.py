"""What a folder of weights says about its own architecture."""

from __future__ import annotations

import pathlib
from typing import Any

from models.files import weight_file
from models.networks.foreign import infer_generator, infer_generator_file, load_weights
from models.networks.pretrained import load_pretrained
from util.errors import UserError


def find_generators(folder: pathlib.Path, epoch: str) -> list[str]:
    """Return the names of the generators saved for ``epoch``, such as ["G"] or ["G_A", "G_B"]."""
    return [name for name in ("G", "G_A", "G_B") if weight_file(folder, epoch, name).is_file()]


def identity_of_weights(path: pathlib.Path) -> dict[str, Any]:
    """Return the flags that describe a generator file: netG and its own, input_nc, output_nc.

    Raises:
        UserError: the file cannot be read, or neither a2b nor spandrel knows the network.
    """
    try:
        infer_generator(load_weights(path))
    except UserError:
        return _identity_by_spandrel(path)
    name, values, input_nc, output_nc = infer_generator_file(path)
    return {"netG": name, "input_nc": input_nc, "output_nc": output_nc} | values


def _identity_by_spandrel(path: pathlib.Path) -> dict[str, Any]:
    known = load_pretrained(path).known
    assert known is not None
    facts = {"scale": known.scale, "input_nc": known.input_nc, "output_nc": known.output_nc}
    return {"netG": "pretrained", "init_from": str(path)} | facts


def identity_of_folder(folder: pathlib.Path, epoch: str) -> dict[str, Any]:
    """Return the same for a run folder without options, as the established tool leaves them.

    Raises:
        UserError: there are no generator weights of that epoch.
    """
    generators = find_generators(folder, epoch)
    if not generators:
        held = sorted(p.name for p in folder.glob("*_net_G*.pth")) if folder.is_dir() else []
        found = f"; it has {', '.join(held)}" if held else ""
        raise UserError(f"{folder}: no generator weights for --epoch {epoch}{found}; check --name and --epoch")
    return identity_of_weights(weight_file(folder, epoch, generators[0]))
