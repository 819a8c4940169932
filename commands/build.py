"""Resolved options -> the objects that work."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from torch import nn

from data.common import CommonDataOptions
from data.informed import Sources
from data.inputs import Inputs
from models.base import TranslationModel
from models.builder import Builder, Channels
from models.networks.common import AroundOptions
from options.resolve import Options
from training.memory import out_of_memory
from util.errors import UserError

SELECTORS = ("netG", "netD", "gan_mode")


def build_model(options: Options, *, train: bool) -> TranslationModel:
    """Return the chosen method with seeded weights, on the CPU; with discriminators and losses when training."""
    with memory_for("the networks", "a smaller --ngf or --ndf"):
        model = _made(options, train=train)
    if train:
        _check_crop(options, model)
    return model


@contextlib.contextmanager
def memory_for(what: str, fix: str) -> Iterator[None]:
    """Let memory that runs out inside be one line."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise UserError(f"there is not enough memory for {what}; use {fix}") from None


def make_narrow(options: Options) -> TranslationModel:
    """Return the method as it is trained, with one filter where ``--ngf`` and ``--ndf`` say how many."""
    widths = {name: 1 for name in ("ngf", "ndf") if name in options.values}
    return _made(options.replace("one filter", **widths), train=True)


def _made(options: Options, *, train: bool) -> TranslationModel:
    choices = {name: chosen for name in SELECTORS if (chosen := options.chosen(name)) is not None}
    channels, inputs = channels_of(options), inputs_of(options)
    teach = functools.partial(_generator_of, options=options)
    added = None if inputs.plain else inputs
    builder = Builder(choices, channels, options.values["seed"], teach, options.of(AroundOptions), added)
    method = options.chosen("model")
    assert method is not None
    model = method[0](method[1], builder)
    if train:
        model.prepare_training(builder)
    return model


def inputs_of(options: Options) -> Inputs:
    """Return what a generator from A to B sees."""
    return Inputs.of(options.of(CommonDataOptions))


def channels_of(options: Options) -> Channels:
    """Return the channels of both domains in training, with what generators see beside the images of A."""
    return Channels(inputs_of(options).channels, options.values["output_nc"])


def _generator_of(run: str, options: Options) -> nn.Module:
    from commands.teacher import trained_generator  # which builds a model itself

    channels, inputs = Channels(options.values["input_nc"], options.values["output_nc"]), inputs_of(options)
    teacher = trained_generator(run, options.values["checkpoints_dir"], channels)
    if (getattr(teacher, "inputs", None) or Inputs(inputs.image_nc)) != inputs:
        raise UserError(f"--teacher {run}: give the --context, --coordinates and --input_norms of its training")
    return teacher


def build_dataset(options: Options, *, train: bool, ranges: Any = None) -> Any:
    """Return the chosen data set, opened and audited; UserError where its sources cannot have what flags add."""
    chosen = options.chosen("dataset_mode")
    assert chosen is not None
    dataset = chosen[0](chosen[1], options.of(CommonDataOptions), train=train, ranges=ranges)
    if train and not inputs_of(options).plain and not isinstance(getattr(dataset, "sources", None), Sources):
        raise UserError(
            f"--dataset_mode {options.values['dataset_mode']} gives images alone, without what --context, "
            "--coordinates and --input_norms add: leave them out, or use --dataset_mode aligned, semi or sem_depth"
        )
    return dataset


def describe_data(dataset: Any) -> dict[str, Any]:
    """Return the value ranges and file formats of both domains as plain values, to be kept in the run.

    Where the data set takes files for their brightness alone, it says so too.
    """
    seen = {"luma": True} if getattr(getattr(dataset, "protocol", None), "luma", False) else {}
    return {
        side: {"range": dataset.ranges[side].to_dict(), "format": dataset.formats[side].to_dict(), **seen}
        for side in dataset.formats
    }


def describe_networks(model: TranslationModel, verbose: bool) -> str:
    """Return each network's exact number of trainable parameters, and its layers when ``verbose``."""
    lines = []
    for name, network in model.networks().items():
        lines.append(f"[Network {name}] {count_parameters(network):,} parameters")
        if verbose:
            lines.append(str(network))
    return "\n".join(lines)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(p.numel() for p in network.parameters())


def _check_crop(options: Options, model: TranslationModel) -> None:
    multiple, crop = model.size_multiple, options.values["crop_size"]
    data = options.chosen("dataset_mode")
    multiple *= getattr(data[1], "enlargement", 1) if data else 1  # crops are of the larger image
    if "crop" in options.values["preprocess"] and crop % multiple:
        nearest = max(multiple, round(crop / multiple) * multiple)
        raise UserError(
            f"--crop_size {crop} must be divisible by {multiple} for --netG {options.values['netG']}; "
            f"try --crop_size {nearest}" + (", or --netG unet_128" if options.values["netG"] == "unet_256" else "")
        )
