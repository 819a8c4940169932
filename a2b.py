"""Use a2b from Python.

::

    import a2b
    from PIL import Image

    translate = a2b.load("checkpoints/facades")  # a run folder, or one weight file of this or the established tool
    translate(Image.open("label.png")).save("photo.png")
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

from torch import nn

from commands.joined_runs import open_runs, options_of
from inference.settings import ENSEMBLES
from inference.translator import Translator
from models.builder import Builder, Channels
from models.networks import DISCRIMINATORS, GENERATORS
from util.errors import UserError, did_you_mean
from util.flags import flags_of
from util.registry import Registry

__all__ = ["Translator", "build_discriminator", "build_generator", "load"]


def load(
    *paths: str | os.PathLike[str],
    ensemble: str | None = None,
    epoch: str = "latest",
    direction: str | None = None,
    gpu_ids: str = "0",
) -> Translator:
    """Return a translator for a run folder or a weight file (.pth or .safetensors), or for several together.

    Args:
        paths: ``checkpoints/NAME``, or one generator's weights; their architecture is read off the file.
        ensemble: how several are joined: "mean" (if left out), "median", "vote", or "weights" for the average of
            their weights.
        epoch: which weights of a run folder.
        direction: which generator of a two-sided run, "AtoB" or "BtoA"; the one it was trained in if left out.
        gpu_ids: a GPU's number, or "-1" for the CPU, which is also used where there is no GPU.

    Raises:
        UserError: there is no such run, a file holds no known generator, or they cannot be joined.
    """
    if not paths or ensemble not in (None, *ENSEMBLES):
        raise UserError(f"a2b.load: name at least one run, and ensemble as one of {', '.join(ENSEMBLES)}")
    members = [options_of(pathlib.Path(path), epoch, direction, gpu_ids) for path in paths]
    return open_runs(members, ensemble).translator()


def build_generator(name: str, input_nc: int = 3, output_nc: int = 3, seed: int = 0, **options: Any) -> nn.Module:
    """Return an initialised ``--netG`` network as a plain module: (N,input_nc,H,W) -> (N,output_nc,H,W) in [-1,1].

    Args:
        options: the network's flags by name, such as ``ngf=32, norm="batch"``.
    """
    choice = GENERATORS.get(name), _options(GENERATORS, name, options)
    return Builder({"netG": choice}, Channels(input_nc, output_nc), seed).generator(input_nc, output_nc)


def build_discriminator(name: str, input_nc: int = 3, seed: int = 0, **options: Any) -> nn.Module:
    """Return an initialised ``--netD`` network: (N,input_nc,H,W) -> list of DiscriminatorOutput."""
    choice = DISCRIMINATORS.get(name), _options(DISCRIMINATORS, name, options)
    return Builder({"netD": choice}, Channels(input_nc, input_nc), seed).discriminator(input_nc)


def _options(registry: Registry, name: str, given: dict[str, Any]) -> Any:
    options = registry.options(name)
    flags = flags_of(options)
    for key in given:
        if key not in flags:
            raise UserError(f"{registry.kind} {name}: unknown option {key}{did_you_mean(key, flags)}")
    return options(**{key: flags[key].convert(value, f"{registry.kind} {name}") for key, value in given.items()})
