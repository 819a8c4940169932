"""Translate images of any size with a trained model, deterministically."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from inference.engines.engines import Engines
from inference.ensemble import Ensemble, Member
from inference.padding import crop, pad
from inference.settings import InferenceOptions
from inference.tiling.informed import image_alone, padding_multiple
from inference.tiling.memory import is_out_of_memory
from inference.tiling.runner import Original, Runner, replaced_forward
from inference.tiling.symmetry import SYMMETRIES, Symmetry
from inference.variants import RunningMean, depends_on_batch, dropout_on, has_dropout
from models.base import Images, TranslationModel
from models.networks.norms import norm_statistics
from util.device import arithmetic
from util.errors import UserError
from util.noise import sample_noise

UNCERTAINTY = "uncertainty"


class Predictor:
    """One model, or the average of several, ready for inference: no dropout, no gradients, any image size.

    Images that are tiny, or whose sides do not divide by the network's ``size_multiple``, are mirrored beyond their
    lower and right borders, and cropped back afterwards. Images too large for the memory go through in tiles, which
    changes nothing but the time it takes: see ``inference.tiling``.

    Args:
        model: holding trained weights; several models, or an ensemble, give one image for each label they share.
        device: to compute on.
        precision: "fp32" or "bf16".
        test_norm: statistics of batch norm layers: "running" (of the training), "batch" (of the image itself, as
            pix2pix was published) or "auto", which is "batch" for U-Nets and "running" otherwise. Members of an
            ensemble say it themselves.
        options: tiles, memory, test-time augmentation, dropout.
        engines: what computes the networks in place of ``precision``; settled on the first images, if not before.
    """

    def __init__(
        self,
        model: TranslationModel | Sequence[TranslationModel] | Ensemble,
        device: torch.device,
        precision: str = "fp32",
        test_norm: str = "auto",
        options: InferenceOptions | None = None,
        engines: Engines | None = None,
    ) -> None:
        self.ensemble = model if isinstance(model, Ensemble) else _ensemble(model, test_norm)
        self._all_members = self.ensemble.members
        self.models = [member.model for member in self.ensemble.members]
        self.model, self.options = self.models[0], options or InferenceOptions()
        self._views = len(SYMMETRIES) if self.options.tta == "x8" else 1
        self._labels = set.intersection(*(set(each.visuals) for each in self.models))
        self._precision, self.engines = precision, engines
        self.runner = Runner(device, self.options)
        self.networks = [network for each in self.models for network in each.networks().values()]
        for each in self.models:
            each.to(device).eval()
        for member in self.ensemble.members:
            _set_norms(member)
        self.one_by_one = any(depends_on_batch(each) for each in self.models)
        self.size_multiple = math.lcm(*(each.size_multiple for each in self.models))
        self.scale = max((getattr(n, "scale", 1) for n in self.networks), default=1)
        if self.options.mc_dropout and not has_dropout(self.model):
            raise UserError("--mc_dropout needs a network that was trained with dropout; this one has none")
        if self.options.mc_dropout and engines and not engines.eager:
            raise UserError("--mc_dropout needs --backend torch --compile off: other engines have no dropout")
        if self.options.mc_dropout and self.ensemble.how != "mean":
            raise UserError(f"--mc_dropout averages: use --ensemble mean in place of {self.ensemble.how}")

    @property
    def precision(self) -> str:
        """Return the arithmetic of what runs outside of engines."""
        choice = self.engines.choice if self.engines else None
        return choice.autocast if choice else self._precision

    @property
    def device(self) -> torch.device:
        """Return where the networks compute: the CPU after an accelerator's memory was too small."""
        return self.runner.device

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Any]) -> Images:
        """Return the models' images by label, float32 on the CPU, each (N,C,H,W) in [-1,1].

        With ``mc_dropout`` there is "uncertainty" too: the standard deviation of the result, less 1, so that it is
        in the units of the target's files above their lowest value.

        Args:
            batch: "A" and, where the method needs it, "B": float32 (N,C,H,W) in [-1,1].

        Raises:
            UserError: an image needs more memory than there is, whatever the tiles.
        """
        tensors = {side: batch[side] for side in ("A", "B") if side in batch}
        self.settle([tensors])
        count = len(tensors["A"])
        if self.one_by_one and count > 1:
            parts = [self({side: tensor[i : i + 1] for side, tensor in tensors.items()}) for i in range(count)]
            return {label: torch.cat([part[label] for part in parts]) for label in parts[0]}
        return self._retried(self._translate, tensors)

    @torch.no_grad()
    def undecided(self, batch: Mapping[str, Any]) -> Images:
        """Return the first model's images for one image, with what it would decide by, such as the classes' votes."""
        return self._retried(lambda tensors: self._average(self.ensemble.groups[0], tensors).mean, {"A": batch["A"]})

    def _retried(self, translate: Callable[[Mapping[str, Tensor]], Images], tensors: Mapping[str, Tensor]) -> Images:
        while True:
            try:
                return translate(tensors)
            except (RuntimeError, MemoryError) as error:
                self.retreat(error)
            gc.collect()  # what the failed attempt held

    def settle(self, batches: Sequence[Mapping[str, Any]], count: int | None = None) -> None:
        """Settle by these images what computes the networks, unless that has been done.

        Args:
            batches: the first images of a job.
            count: of all its images; None: unknown, many.
        """
        if self.engines is not None and self.engines.choice is None and batches:
            from inference.engines.settle import settle  # which needs a Predictor to measure with

            settle(self, batches, count)

    def original(self, network: nn.Module) -> Original:
        """Return a network as it is now, with its engine."""
        return Original(network, network.forward, self._engine(network))

    def _engine(self, network: nn.Module) -> Callable[[Tensor], Tensor] | None:
        return self.engines.of(network) if self.engines and not self.options.mc_dropout else None

    def retreat(self, error: BaseException) -> None:
        """Take less memory from now on; raises the error again where it is another one.

        UserError where nothing is left to try.
        """
        if not self.runner.retreat(error):
            if is_out_of_memory(error):
                raise UserError(f"out of memory, however small the tiles ({error}); close other programs")
            raise error
        for each in self.models:
            each.to(self.device)
        if self.engines is not None and self.engines.device != self.device:
            self.engines.move(self.device)

    def _translate(self, tensors: Mapping[str, Tensor]) -> Images:
        averages = [self._average(group, tensors) for group in self.ensemble.groups]
        decided = [self.model.decide(average.mean) for average in averages]
        images = self.ensemble.join(decided, self.model.result)
        if self.options.mc_dropout:
            images[UNCERTAINTY] = averages[0].deviation(self.model.result) - 1
        return images

    def _average(self, group: Sequence[Member], tensors: Mapping[str, Tensor]) -> RunningMean:
        average = RunningMean()
        for member in group:
            for images in self._versions(member, tensors):
                average.add(images)
        return average

    def _versions(self, member: Member, tensors: Mapping[str, Tensor]) -> Iterator[Images]:
        """Yield the images of one model for every symmetry and every pass with dropout."""
        for symmetry in self.symmetries:
            turned = {side: symmetry.there(tensor) for side, tensor in tensors.items()}
            for number in range(max(1, self.options.mc_dropout)):
                images = self._images(member, turned, number)
                yield {label: symmetry.back(image) for label, image in images.items()}

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """Return the turned and mirrored versions that are averaged."""
        return SYMMETRIES[: self._views]

    @property
    def passes(self) -> tuple[int, int]:
        """Return how many models are joined, and how many views of an image are averaged."""
        return len(self.ensemble.members), self._views

    def limit(self, models: int, views: int) -> None:
        """Join the first so many models from now on, and average the first so many views."""
        self.ensemble = dataclasses.replace(self.ensemble, members=self._all_members[:models])
        self._views = views

    def _images(self, member: Member, tensors: Mapping[str, Tensor], number: int) -> Images:
        model, multiple = member.model, padding_multiple(member.model, tensors["A"].shape[1])
        padded = {side: pad(tensor, multiple).to(self.device) for side, tensor in tensors.items()}
        with arithmetic(self.device, self.precision), self._any_size(model), self._dropout(model, number, padded):
            images = member.predict(padded)
        if len(self.models) > 1:
            images = {label: image for label, image in images.items() if label in self._labels}
        frames = {label: "B" if model.frames.get(label) == "B" and "B" in tensors else "A" for label in images}
        return {
            label: crop(image_alone(model, label, image), tensors[frames[label]], multiple).float().cpu()
            for label, image in images.items()
        }

    @contextlib.contextmanager
    def _any_size(self, model: TranslationModel) -> Iterator[None]:
        """Let every network of the model run in tiles where its input is too large."""
        with contextlib.ExitStack() as stack:
            for network in model.networks().values():
                run = _Bound(self.runner, self.original(network))
                stack.enter_context(replaced_forward(network, run))
            yield

    @contextlib.contextmanager
    def _dropout(self, model: TranslationModel, number: int, padded: Mapping[str, Tensor]) -> Iterator[None]:
        if not self.options.mc_dropout:
            yield
            return
        with dropout_on(model), sample_noise([number] * len(padded["A"])):
            yield


def _ensemble(model: TranslationModel | Sequence[TranslationModel], test_norm: str) -> Ensemble:
    models = [model] if isinstance(model, TranslationModel) else model
    return Ensemble([Member(each, test_norm) for each in models])


def _set_norms(member: Member) -> None:
    for network in member.model.networks().values():
        if norm_statistics(network, member.test_norm) == "batch":
            use_image_statistics(network)


class _Bound:
    """A network's replacement: the runner decides how the original runs."""

    def __init__(self, runner: Runner, network: Original) -> None:
        self.runner, self.network = runner, network

    def __call__(self, images: Tensor) -> Tensor:
        return self.runner.run(self.network, images)


def use_image_statistics(network: nn.Module) -> None:
    """Let batch norm layers normalise by the statistics of the batch and leave their own alone."""
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train()
            layer.momentum = 0.0
