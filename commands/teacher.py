"""The generator of a trained run, for methods that learn from it."""

from __future__ import annotations

import pathlib

from torch import nn

from commands.opened_run import load_model
from models.builder import Channels
from models.networks.norms import InstanceNorm2d, norm_statistics
from options.saved import load_options
from options.test_options import TestOptions, run_fills_holes
from util.errors import UserError


def teacher_folder(run: str, checkpoints_dir: str) -> pathlib.Path:
    """Return the folder of a run that is given by its name or by its folder."""
    own = pathlib.Path(checkpoints_dir) / run
    return own if own.is_dir() or not pathlib.Path(run).is_dir() else pathlib.Path(run)


def trained_generator(run: str, checkpoints_dir: str, channels: Channels) -> nn.Module:
    """Return the generator of a run in inference mode, on the CPU; its norms do what they do in test.py.

    Raises:
        UserError: there is no such run, its weights are not there, or it has other channels.
    """
    folder = teacher_folder(run, checkpoints_dir)
    words = ["--name", folder.name, "--checkpoints_dir", str(folder.parent), "--dataroot", ".", "--model", "test"]
    if run_fills_holes(load_options(folder) or {}):
        raise UserError(f"--teacher {run}: it fills holes; name a run that makes images from whole ones")
    options = TestOptions().parse([*words, "--gpu_ids", "-1"])
    its, ours = (options.values["input_nc"], options.values["output_nc"]), (channels.A, channels.B)
    if its != ours:
        raise UserError(f"--teacher {run}: {its[0]} channels to {its[1]}; use --input_nc {its[0]} --output_nc {its[1]}")
    (network,) = load_model(options, folder).eval().networks().values()
    if norm_statistics(network, options.values["test_norm"]) == "batch":
        normalise_by_image(network)
    return network


def normalise_by_image(network: nn.Module) -> None:
    """Let batch norm take the statistics of each image by itself, as it does where images are tested one by one."""
    for module in network.modules():
        for name, layer in module.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                twin = InstanceNorm2d(layer.num_features, layer.eps, layer.affine)
                twin.weight, twin.bias = layer.weight, layer.bias
                setattr(module, name, twin)
