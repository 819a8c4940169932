"""Every recipe is a valid command, and says so of itself."""

from __future__ import annotations

import pathlib
import shlex

import pytest
import torch

from options.resolve import Options
from options.train_options import TrainOptions

ROOT = pathlib.Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def resolved(recipe: pathlib.Path) -> Options:
    return TrainOptions().parse(["--dataroot", ".", "--config", str(recipe)])


@each_recipe
def test_a_recipe_begins_with_the_command_that_uses_it(recipe: pathlib.Path) -> None:
    (line,) = (line for line in recipe.read_text().splitlines() if "python train.py" in line)
    words = shlex.split(line[line.index("python train.py") :])[2:]
    assert f"recipes/{recipe.name}" in words
    words[words.index(f"recipes/{recipe.name}")] = str(recipe)
    TrainOptions().parse(words)


@each_recipe
def test_patches_divide_by_the_scale_and_weigh_what_networks_take(recipe: pathlib.Path) -> None:
    options = resolved(recipe)
    scale = options.values.get("scale", 1)
    assert options.values["crop_size"] % scale == 0
    with torch.device("meta"):
        make, network_options = options.chosen("netG") or (None, None)
        assert make is not None
        network = make(network_options, options.values["input_nc"], options.values["output_nc"])
    assert network.scale == scale


def test_presets_of_the_method_balance_as_the_papers_do() -> None:
    values = {name: TrainOptions().parse(["--dataroot", ".", "--model", name]).values for name in ("srgan", "esrgan")}
    assert (values["srgan"]["lambda_VGG"], values["srgan"]["lambda_GAN"]) == (0.006, 0.001)
    assert values["esrgan"]["lambda_L1"] == 0.01 / 2  # [-1,1] doubles differences
    assert all(v["crop_size"] == v["size_D"] for v in values.values()), "D sees patches of its size"
    assert (values["srgan"]["beta1"], values["srgan"]["scale"], values["srgan"]["netD"]) == (0.9, 4, "srgan")
