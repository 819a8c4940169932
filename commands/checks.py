"""What a method needs of its data and of image sizes, found out before anything is trained or written."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sized
from typing import Any

import torch

from commands.build import channels_of, make_narrow
from models import MODELS
from models.base import Batch, TranslationModel
from options.resolve import Options
from training.progressive import stages_of
from training.settings import StartOptions
from training.trainer import Loader
from util.errors import UserError
from util.weights import is_remote

Size = tuple[int, int]
_LARGEST = 1024  # pixels a side; what does not work at this size is no matter of size
_ENOUGH = 256  # pixels a side; larger images are tried out at this size first


def check_data(options: Options, model: TranslationModel, dataset: Any) -> None:
    """UserError when a data set does not give the domains that a method needs, or no pairs to one that needs them."""
    values = options.values
    method, mode = f"--model {values['model']}", f"--dataset_mode {values['dataset_mode']}"
    usual = MODELS.entry(values["model"]).preset.get("dataset_mode")
    fix = f"use --dataset_mode {usual}" if usual not in (None, values["dataset_mode"]) else "use another data set"
    missing = [side for side in model.needs if side not in dataset.formats]
    if missing:
        raise UserError(f"{mode}: it gives no image {' and '.join(missing)}, which {method} trains on; {fix}")
    if model.paired and not dataset.pairs:
        raise UserError(
            f"{mode}: its images are not paired, but {method} compares each output with its target; {fix} or another "
            "data set of pairs, or --model cycle_gan"
        )


def check_networks(options: Options, model: TranslationModel) -> None:
    """UserError when a method cannot train one of its networks, as the network declares in ``trained_by``."""
    for network in model.networks().values():
        for part in network.modules():
            method = getattr(part, "trained_by", options.values["model"])
            if method != options.values["model"]:
                raise UserError(
                    f"--netG {options.values['netG']}: is trained by --model {method} alone; give that in place of "
                    f"--model {options.values['model']}, or another --netG"
                )


def check_pretrained(options: Options) -> None:
    """UserError when a training of ``--netG pretrained`` is to begin without a file to read the network from."""
    values = options.values
    given = values["init_from"]
    if values.get("netG") != "pretrained" or values["continue_train"] or is_remote(given):
        return
    if not pathlib.Path(given.partition("#")[0]).is_file():
        raise UserError(
            f"--netG pretrained --init_from {given}: no such file; for the network of a run name its "
            "latest_net_G.pth, or leave out --netG pretrained and give the run's own --netG"
        )


def check_crops(options: Options) -> None:
    """UserError naming the smallest size that works when the networks cannot take the crops."""
    if "crop" not in options.values["preprocess"]:
        return
    check = SizeCheck(options)
    stages = [stage.crop_size for stage in stages_of(options.of(StartOptions))]
    for flag, size in [("crop_size", options.values["crop_size"]), *(("progressive_sizes", size) for size in stages)]:
        check.square(flag, size)


def _enlargement(options: Options) -> int | None:
    """Return how many times as large as inputs the data set's targets are, None where it does not say."""
    chosen = options.chosen("dataset_mode")
    return None if chosen is None else getattr(chosen[1], "enlargement", None)


class SizeCheck:
    """Whether the networks can train on images of given sizes, tried out with one filter a layer, so that it is quick.

    Deep networks meet maps of one pixel, which no norm can take, and maps smaller than what a convolution or a
    reflected border needs; where that happens depends on how layers follow each other, so they are run.

    Args:
        options: that describe the networks.
    """

    def __init__(self, options: Options) -> None:
        self.values, self.channels = options.values, channels_of(options)
        with torch.random.fork_rng(devices=[]):
            self.model = make_narrow(options)
        self.multiple = self.model.size_multiple
        self.scale = self.model.scale
        self.enlargement = _enlargement(options)  # what the data set makes of a crop
        if self.enlargement not in (None, self.scale):
            raise UserError(
                f"--scale {self.enlargement}: targets are {self.enlargement} times as large as inputs, but --netG "
                f"{self.values.get('netG')} enlarges {self.scale} times; choose a --netG that enlarges so, or --scale "
                f"{self.scale}"
            )
        self._good: list[tuple[Size, Size]] = []
        self._reason: Exception | None = None  # why the last one that failed did

    def square(self, flag: str, size: int) -> None:
        """UserError when images of ``size`` x ``size``, as a flag says, are too small."""
        shrinking = self.enlargement or 1
        side = size // shrinking - size // shrinking % self.multiple
        culprit = self._failing(*self._sizes(side, side)) if side else None
        if culprit is None:
            return
        least = self._least(side)
        if least is not None:
            least *= shrinking
            raise UserError(
                f"--{flag} {size} is too small for {culprit}; use --{flag} {least} or more, or fewer layers"
            )
        self._refuse_enlarging()

    def batch(self, batch: Batch) -> None:
        """UserError naming the file when the images of a batch do not fit the networks, or each other."""
        target = batch.get("B", batch["A"])
        sizes = _cut(batch["A"].shape[-2:], self.multiple), _cut(target.shape[-2:], self.multiple * self.scale)
        if not min(*sizes[0], *sizes[1]) or self._known(*sizes):
            return
        culprit = self._failing(*sizes)
        if culprit is None:
            self._good.append(sizes)
            return
        (height, width), (target_height, target_width) = sizes
        path = next(iter(batch.get("A_paths", [])), "a training image")
        if self._failing(*self._sizes(height, width)) is None and self.scale == 1:
            raise UserError(
                f"{path}: {width}x{height} pixels, but the image of B that comes with it has "
                f"{target_width}x{target_height}, and these losses compare both; use --preprocess resize_and_crop, or "
                "another --gan_mode, without --lambda_FM"
            )
        if self._failing(*self._sizes(height, width)) is None:
            raise UserError(
                f"--scale {self.scale}: {path} becomes {self.scale * width}x{self.scale * height} pixels, but its "
                f"target has {target_width}x{target_height}; use --scale 1, or a super-resolution data set, whose "
                f"targets are {self.scale} times as large as their sources"
            )
        least = self._least(min(height, width))
        if least is not None:
            raise UserError(
                f"{path}: {width}x{height} pixels in training are too small for {culprit}; use images of {least} "
                f"pixels or more on each side, or --preprocess resize_and_crop --crop_size {least}"
            )
        self._refuse_enlarging()

    def _refuse_enlarging(self) -> None:
        """UserError where no size works because the networks enlarge, or for the reason that the losses give."""
        if self.scale > 1:
            if isinstance(self._reason, UserError):
                raise self._reason
            raise UserError(
                f"--scale {self.scale}: --model {self.values['model']} needs outputs of the inputs' size with these "
                "losses; use --scale 1"
            )

    def _known(self, source: Size, target: Size) -> bool:
        def fits(size: Size, good: Size) -> bool:
            return size[0] >= good[0] and size[1] >= good[1]

        alike = source == target
        return any(fits(source, a) and (alike or target == b) for a, b in self._good if (a == b) == alike)

    def _sizes(self, height: int, width: int) -> tuple[Size, Size]:
        """Return the sizes of an input of these sides and of its output."""
        return (height, width), (self.scale * height, self.scale * width)

    def _least(self, size: int) -> int | None:
        """Return the smallest side above ``size`` that works, None when none does."""

        def fails(side: int) -> bool:
            return self._failing(*self._sizes(side, side)) is not None

        below, above = size // self.multiple, 2 * max(1, size // self.multiple)
        while fails(above * self.multiple):
            below, above = above, 2 * above
            if above * self.multiple > _LARGEST // self.scale**2:
                return None
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if fails(middle * self.multiple) else (below, middle)
        return above * self.multiple

    def _failing(self, source: Size, target: Size) -> str | None:
        """Return the flag of the networks that cannot train on one sample of these sizes, None when all can."""
        enough = _ENOUGH - _ENOUGH % self.multiple
        if enough and max(source) > enough and self._sizes(*source) == (source, target):
            small = self._sizes(min(source[0], enough), min(source[1], enough))
            if self._tried(*small) is None:
                return None
        return self._tried(source, target)

    def _tried(self, source: Size, target: Size) -> str | None:
        batch = {
            "A": torch.zeros(1, self.channels.A, *source),
            "B": torch.zeros(1, self.channels.B, *target),
        }
        culprit = "netG"
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            try:
                images = self.model(batch)
                culprit = "netD" if "netD" in self.values else culprit
                for phase in self.model.phases():
                    phase.loss(batch, images)
            except (UserError, ValueError, RuntimeError) as error:
                self._reason = error
                return f"--{culprit} {self.values[culprit]}" if culprit in self.values else "the networks"
        return None


def _cut(size: Any, multiple: int) -> Size:
    """Return height and width as the training cuts them."""
    return size[0] - size[0] % multiple, size[1] - size[1] % multiple


class CheckedLoader:
    """A loader whose batches have sizes that the networks can take; UserError naming the file of one that has not."""

    def __init__(self, loader: Loader, check: SizeCheck) -> None:
        self._loader, self._check = loader, check

    @property
    def dataset(self) -> Sized:
        """The training images."""
        return self._loader.dataset

    def epoch(self, epoch: int, offset: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch after the first ``offset`` samples."""
        for batch in self._loader.epoch(epoch, offset):
            self._check.batch(batch)
            yield batch
