"""A small generator that learns to do what a trained one does (Hinton et al. 2015, arXiv:1503.02531).

The student copies the teacher's outputs. Where both have feature maps of one size it can also copy where they are
active: the mean square over channels at each place, scaled to length 1 (Zagoruyko and Komodakis 2017,
arXiv:1612.03928), which asks neither for equal widths nor for equal architectures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import MODELS
from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.builder import Builder
from models.losses.mix import MixOptions, ReconstructionMix
from models.losses.pixel import l1
from models.networks import GENERATORS
from util.errors import UserError
from util.option import option
from util.precision import widened

Size = tuple[int, int]


@dataclass(frozen=True)
class DistillOptions(MixOptions):
    netG: str = option("unet_256", "generator architecture", "identity", registry=GENERATORS)
    teacher: str | None = option(None, "run, by --name or folder, whose generator is to be copied")
    lambda_teacher: float = option(100.0, "weight of the L1 distance to the teacher's output", minimum=0)
    lambda_features: float = option(0.0, "weight of the distance to where the teacher's features are active", minimum=0)
    lambda_L1: float = option(0.0, "weight of the L1 distance between output and target", minimum=0)


@MODELS.register("distill", options=DistillOptions, preset={"norm": "batch", "dataset_mode": "aligned"})
class Distillation(TranslationModel):
    """A student of any size and architecture that copies the outputs, and the activity, of a trained generator."""

    loss_names = ("G_teacher", "G_features", "G_L1")
    needs = ("A",)
    visuals = {"real_A": "A", "fake_B": "B", "teacher_B": "B", "real_B": "B"}

    def __init__(self, options: DistillOptions, build: Builder) -> None:
        super().__init__()
        self.G = build.generator(build.channels.A, build.channels.B)
        self.options = options
        self._teacher: tuple[nn.Module, ...] = ()  # in a tuple it is no child: it is neither trained nor saved

    def prepare_training(self, build: Builder) -> None:
        if self.options.teacher is None:
            raise UserError("--teacher is missing: name the run whose generator shall be copied")
        self.reconstruction = ReconstructionMix(self.options)
        self.paired = bool(self.reconstruction.terms)
        if not (self.paired or self.options.lambda_teacher or self.options.lambda_features):
            raise UserError("--lambda_teacher, --lambda_features and all weights of distances are 0: nothing to train")
        teacher = build.trained_generator(self.options.teacher).requires_grad_(False)
        if (mine := self.G.scale) != (its := teacher.scale):
            raise UserError(f"--teacher {self.options.teacher}: it enlarges {its} times, --netG {mine} times")
        self._teacher = (teacher,)

    def forward(self, batch: Batch) -> Images:
        """Return the student's image and, in training, the teacher's; with ``--lambda_features`` "unlike", (N,)."""
        x = batch["A"]
        if not (self._teacher and self.training):
            return {"fake_B": self.G(x)}
        run = with_feature_maps if self.options.lambda_features else _without_feature_maps
        fake, found = run(self.G, x)
        with torch.no_grad():
            taught, wanted = run(self._teacher_for(x), x)
        images = {"fake_B": fake, "teacher_B": taught}
        return images | ({"unlike": activity(found, wanted)} if self.options.lambda_features else {})

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("G", ("G",), self.loss_G, through_images=True),)

    def loss_G(self, batch: Batch, images: Images) -> Losses:
        weights, fake = self.options, images["fake_B"]
        losses = {}
        if weights.lambda_teacher:
            losses["G_teacher"] = weights.lambda_teacher * l1(fake, images["teacher_B"])
        if weights.lambda_features:
            losses["G_features"] = weights.lambda_features * images["unlike"].mean()
        return losses | (self.reconstruction(fake, batch["B"], batch.get("B_mask")) if self.paired else {})

    def _teacher_for(self, x: Tensor) -> nn.Module:
        """Return the teacher, which is no child and so does not follow the model, where and as precise as x is."""
        return self._teacher[0].to(x.device, x.dtype)


def with_feature_maps(network: nn.Module, x: Tensor) -> tuple[Tensor, dict[Size, Tensor]]:
    """Run a network on (N,C,H,W) once; return its image, and the last convolution's output of each smaller size."""
    found: dict[Size, Tensor] = {}

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        if output.shape[2:] != x.shape[2:]:
            found[output.shape[2], output.shape[3]] = output

    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(keep) for layer in convolutions]
    try:
        return network(x), found
    finally:
        for hook in hooks:
            hook.remove()


def _without_feature_maps(network: nn.Module, x: Tensor) -> tuple[Tensor, dict[Size, Tensor]]:
    return network(x), {}


def activity(student: Mapping[Size, Tensor], teacher: Mapping[Size, Tensor]) -> Tensor:
    """Return how unlike the places are where two networks are active, (N,): the mean over the sizes both have.

    UserError where they have none in common.
    """
    common = student.keys() & teacher.keys()
    if not common:
        raise UserError("--lambda_features: --teacher and --netG have no feature maps of one size; leave it out")
    distances = [(_places(student[size]) - _places(teacher[size])).square().sum(1) for size in sorted(common)]
    return torch.stack(distances).mean(0)


def _places(features: Tensor) -> Tensor:
    """Return the mean square of (N,C,H,W) over channels as vectors (N,H*W) of length 1."""
    wide = widened(features)
    return F.normalize(wide.square().mean(1).flatten(1), dim=1)
