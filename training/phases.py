"""How the gradients of one phase come about: in parts, over processes, again when memory runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.networks.norms import SyncBatchNorm2d, over_ranks
from training.memory import out_of_memory
from training.parts import Part, StepBatch, joined, say_once
from training.pool import ImagePool
from training.ranks import Ranks
from training.undo import Undo
from util.device import Compute
from util.errors import UnfinishedStep
from util.noise import mix, sample_noise
from util.precision import widened

T = TypeVar("T")
_NO_SECOND_TRY = (
    "out of memory, in a step in which the processes wait for each other (batch norm over all of them), so that it "
    "cannot be repeated in parts: use a smaller --batch_size, or --accumulate"
)


def generators(model: TranslationModel) -> dict[str, nn.Module]:
    """Return the networks that make images, by name."""
    makers = {name for phase in model.phases() if phase.through_images for name in phase.networks}
    return {name: network for name, network in model.networks().items() if name in makers}


class PhaseRunner:
    """Runs the forward and backward of phases.

    One forward serves several phases while no weight in its graph has been stepped. A batch in several parts gives the
    same gradients as in one, except through batch norm, which normalises each part by itself.

    Args:
        model: the method.
        weights: the parameters of each phase, by its name.
        compute: device and arithmetic.
        ranks: the processes that share every batch.
        seed: of image histories.
        pool_size: images in each history.
    """

    def __init__(
        self,
        model: TranslationModel,
        weights: Mapping[str, Sequence[nn.Parameter]],
        compute: Compute,
        ranks: Ranks,
        seed: int,
        pool_size: int,
    ) -> None:
        phases = model.phases()
        self.model, self.weights = model, weights
        self._makers = list(generators(model).values())
        self.compute, self.ranks, self.seed = compute, ranks, seed
        self.pools = {name: ImagePool(pool_size) for phase in phases for name in phase.history}
        self.halvings = 0  # of every batch, for lack of memory
        synchronised = any(isinstance(module, SyncBatchNorm2d) for module in model.modules())
        self._forwards_wait = ranks.count > 1 and (synchronised or not all(phase.divisible for phase in phases))
        self._forward = compute.compiled(model.forward)
        self._losses = {phase.name: compute.compiled(phase.loss) for phase in phases}

    def open(self, batch: Batch, step: int, parts: int, shared: bool) -> StepBatch:
        """Return the work of a step, with the norm statistics as they are before its forward.

        Args:
            parts: into how many the batch is cut, unless the loader has said so.
            shared: whether a phase of this step sends gradients through the images.
        """
        buffers = Undo(buffer for network in self._makers for buffer in network.buffers())
        return StepBatch(
            batch,
            step,
            mix(self.seed, step),
            buffers,
            shared=shared,
            keep_empty=self.ranks.count > 1,
            parts=parts,
            halvings=self.halvings,
        )

    def run(self, phase: Phase, work: StepBatch, before: Undo, scale: Callable[[Tensor], Tensor]) -> Losses:
        """Leave a phase's gradients on its weights; return its losses, detached.

        Args:
            before: the norm statistics before the phase, to which every new try goes back.
            scale: factor of the loss before backward, as fp16 needs.

        Raises:
            UserError: memory does not suffice for one sample.
        """
        while True:
            for weight in self.weights[phase.name]:
                weight.grad = None
            if phase.through_images or self._fits(lambda: self._look_ahead(work)) is not None:
                self._draw_history(phase, work)  # a message to all processes, which must all have come here
                losses = self._fits(lambda: self._try(phase, work, scale))
                if losses is not None:
                    return self._over_ranks(phase, losses)
            before.restore()
            self._halve(phase, work)

    def _fits(self, attempt: Callable[[], T]) -> T | None:
        """Return what the attempt gives; None when memory does not suffice for it on any of the processes."""
        result = None
        try:
            with over_ranks():
                result = attempt()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if self._forwards_wait:
                raise UnfinishedStep(_NO_SECOND_TRY) from None
        failed = self.ranks.any(result is None)  # not in the handler, which holds the tensors
        return None if failed else result

    def _halve(self, phase: Phase, work: StepBatch) -> None:
        if not phase.divisible:
            raise UnfinishedStep("out of memory, and this --gan_mode needs the whole batch: use a smaller --batch_size")
        if not self.ranks.any(work.halve()):
            raise UnfinishedStep("out of memory with one image at a time: use a smaller --crop_size, --ngf or --netG")
        self.halvings += 1
        say_once(f"note: out of memory, so every batch is computed in {len(work.counts)} parts from now on")

    def _try(self, phase: Phase, work: StepBatch, scale: Callable[[Tensor], Tensor]) -> Losses:
        if phase.through_images and work.graph is None and work.images is not None:
            work.rewind()  # the same forward again: the norm statistics must not count it twice
        losses: Losses = {}
        made: list[Images] = []
        for part in work.parts():
            with sample_noise(part.seeds):
                images = self._images_for(phase, work, part)
                made.append(_detached(images))
                terms = self._backward(phase, work.step, part, images, scale)
            for name, value in terms.items():
                losses[name] = losses[name] + value if name in losses else value
        work.images = work.images or joined(made)
        return losses

    def _images_for(self, phase: Phase, work: StepBatch, part: Part) -> Images:
        return (work.graph or self._generate(part.batch)) if phase.through_images else work.seen_by(part)

    def _look_ahead(self, work: StepBatch) -> Images:
        """Return what discriminators look at, made with the graph where the generators' turn can use it too."""
        if work.images is not None:
            return work.images
        parts = work.parts()
        keep_graph = work.shared and len(parts) == 1
        made = []
        with contextlib.nullcontext() if keep_graph else torch.no_grad():
            for part in parts:
                with sample_noise(part.seeds):
                    made.append(self._generate(part.batch))
        work.graph = made[0] if keep_graph else None
        work.images = joined([_detached(images) for images in made])
        return work.images

    def _generate(self, batch: Batch) -> Images:
        with self.compute.autocast():
            images = self._forward(batch)
        return {name: widened(image) for name, image in images.items()}

    def _draw_history(self, phase: Phase, work: StepBatch) -> None:
        """Let image pools exchange some of the images, as all processes together would."""
        for name in phase.history:
            if name not in work.history:
                assert work.images is not None
                images = work.images[name]
                everyone, own = self.ranks.in_order(images, work.loaded_counts)
                random = torch.Generator().manual_seed(mix(self.seed, work.step, name))
                seen = self.pools[name].query(everyone, random)
                work.history[name] = torch.stack([seen[place] for place in own]) if own else images

    def _backward(
        self, phase: Phase, step: int, part: Part, images: Images, scale: Callable[[Tensor], Tensor]
    ) -> Losses:
        with self._others_frozen(phase):
            with self.compute.autocast():
                losses = self._losses[phase.name](part.batch, images)
            self._add_gradients(phase, part, losses, scale)
            for penalty, factor in phase.penalties(step):
                penalties = penalty(part.batch, images)
                if penalties:
                    self._add_gradients(phase, part, penalties, scale, factor)
                    losses = losses | penalties
        terms = {name: value.detach() for name, value in losses.items()}
        return {name: value * part.weight if part.weight else torch.zeros_like(value) for name, value in terms.items()}

    def _add_gradients(
        self, phase: Phase, part: Part, losses: Losses, scale: Callable[[Tensor], Tensor], factor: int = 1
    ) -> None:
        total = torch.stack([widened(value) for value in losses.values()]).sum()
        scale(factor * phase.scale * part.weight * total).backward(inputs=list(self.weights[phase.name]))

    @contextlib.contextmanager
    def _others_frozen(self, phase: Phase) -> Iterator[None]:
        """Keep the other players' weights out of the graph of this phase's loss."""
        own = set(map(id, self.weights[phase.name]))
        others = [weight for weights in self.weights.values() for weight in weights if id(weight) not in own]
        for weight in others:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in others:
                weight.requires_grad_(True)

    def _over_ranks(self, phase: Phase, losses: Losses) -> Losses:
        """Add up gradients and losses of all processes."""
        if self.ranks.count > 1:
            for weight in self.weights[phase.name]:
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            gradients = [weight.grad for weight in self.weights[phase.name] if weight.grad is not None]
            self.ranks.sum([*gradients, *losses.values()])
        return losses


def _detached(images: Images) -> Images:
    return {name: image.detach() for name, image in images.items()}


def unscaled(total: Tensor) -> Tensor:
    """Return a loss as it is, where the arithmetic does not ask for another scale."""
    return total
