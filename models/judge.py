"""A discriminator with all that is done about it: what it sees, what it costs, and what it tells the generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.augment import Augmentation
from models.base import Losses, Phase, split_calls
from models.losses.adversarial import Outputs, r1_penalty
from models.losses.features import feature_matching
from models.options import JudgeOptions
from util.errors import UserError


class Judge:
    """One discriminator's losses. Images are (N,C,H,W) in [-1,1].

    A ``condition`` (N,c,H,W) is an image that D sees in front of the judged one; it is moved with it, but keeps its
    colors. ``augmentation`` has a state and must be a child of the method; None without ``--augment``.

    Args:
        discriminator: which stays the method's own child.
        adversarial: the ``--gan_mode``.
        options: of penalties, feature matching and augmentation.

    Raises:
        UserError: the flags do not go together.
    """

    def __init__(self, discriminator: nn.Module, adversarial: Any, options: JudgeOptions) -> None:
        self.discriminator, self.adversarial, self.options = discriminator, adversarial, options
        if adversarial.needs_hole:
            raise UserError("this --gan_mode looks at holes, which only --model inpaint and its kin have: use lsgan")
        self.augmentation = _augmentation(options, adversarial)

    def loss_D(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what real and generated images cost the discriminator."""
        real_verdict, fake_verdict = self._verdicts(real, fake, condition=condition)
        if self.augmentation is not None and self.adversarial.midpoint is not None:
            self.augmentation.observe(real_verdict, self.adversarial.midpoint)
        return self.adversarial.discriminator_loss(real_verdict, fake_verdict)

    def loss_G(self, fake: Tensor, real: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return the adversarial loss of the generator, and feature matching where it is weighted."""
        compares, weight = self.adversarial.needs_real, self.options.lambda_FM
        verdicts = self._verdicts(*((fake, real) if compares or weight else (fake,)), condition=condition)
        matching = weight * feature_matching(*verdicts) if weight else None
        return self.adversarial.generator_loss(*verdicts[: 2 if compares else 1]), matching

    def penalty(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> Tensor | None:
        """Return the penalty of the ``--gan_mode``; None where it has none."""
        return self.adversarial.penalty(self._sees(condition), _behind(condition, real), _behind(condition, fake))

    @property
    def lazy(self) -> bool:
        """Whether there is a penalty for every ``--R1_every``-th step."""
        return self.options.lambda_R1 > 0

    def r1(self, real: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the weighted R1 penalty."""
        return self.options.lambda_R1 * r1_penalty(self._sees(condition), _behind(condition, real))

    def phase(self, method: Any, *networks: str, **more: Any) -> Phase:
        """Return the discriminators' turn of a method, by its ``loss_D``, ``penalty_D`` and ``lazy_penalty_D``."""
        return Phase(
            "D",
            networks or ("D",),
            method.loss_D,
            penalty=method.penalty_D,
            lazy_penalty=method.lazy_penalty_D if self.lazy else None,
            every=self.options.R1_every,
            divisible=not self.adversarial.couples_samples,
            **more,
        )

    def _verdicts(self, *images: Tensor, condition: Tensor | None) -> list[Outputs]:
        seen = [self._altered(_behind(condition, image), condition) for image in images]
        return split_calls(self.discriminator, *seen)

    def _sees(self, condition: Tensor | None) -> Callable[[Tensor], Outputs]:
        return lambda x: self.discriminator(self._altered(x, condition))

    def _altered(self, x: Tensor, condition: Tensor | None) -> Tensor:
        if self.augmentation is None:
            return x
        return self.augmentation(x, 0 if condition is None else condition.shape[1])


def _behind(condition: Tensor | None, image: Tensor) -> Tensor:
    return image if condition is None else torch.cat([condition, image], 1)


def refuse_judging(options: JudgeOptions) -> None:
    """UserError where flags ask something of a discriminator that ``--lambda_GAN 0`` leaves out."""
    asked = {"lambda_R1": f"{options.lambda_R1:g}", "lambda_FM": f"{options.lambda_FM:g}"}
    for name, text in (asked | {"augment": ",".join(options.augment)}).items():
        if text not in ("", "0"):
            raise UserError(f"--{name} {text} is about the discriminator, and --lambda_GAN is 0: leave out one of them")


def _augmentation(options: JudgeOptions, adversarial: Any) -> Augmentation | None:
    if not options.augment:
        if options.augment_p == 0:
            raise UserError("--augment_p auto: nothing is altered; name --augment color,translation,cutout too")
        return None
    if options.augment_p == 0 and adversarial.midpoint is None:
        raise UserError(
            "--augment_p auto asks whether D takes images for real, which this --gan_mode does not say: use vanilla, "
            "lsgan or hinge, or --augment_p 1"
        )
    return Augmentation(options.augment, options.augment_p, options.augment_target, options.augment_images)


def present(losses: dict[str, Tensor | None]) -> Losses:
    """Return the terms that there are."""
    return {name: value for name, value in losses.items() if value is not None}
