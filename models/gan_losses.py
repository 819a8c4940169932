"""The losses of one discriminator and of what it tells the generator: adversarial, penalties, feature matching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.augment import Augmentation
from models.base import Losses, Phase, split_calls
from models.losses.adversarial import Outputs, r1_penalty
from models.losses.features import feature_matching
from models.options import DiscriminatorOptions
from util.errors import UserError

Holes = Literal["none", "known", "seen"]
Context = Tensor | None  # what lies around an image, if anything


class GANLosses:
    """One discriminator's losses. Images are (N,C,H,W) in [-1,1].

    What lies around an image is moved with it, but keeps its colors: a ``condition`` (N,c,H,W), an image that D
    sees in front of it, and a ``hole`` (N,1,H,W), 1 where fakes were painted. ``augmentation`` has a state and must be
    a child of the method; None without ``--augment``.

    Args:
        discriminator: which stays the method's own child.
        adversarial: the ``--gan_mode``.
        options: of penalties, feature matching and augmentation.
        holes: whether there is a ``hole``, and who looks at it: nobody; the losses alone ("known"); or D too, behind
            the image ("seen").
        matching: the distance of feature matching.

    Raises:
        UserError: the flags do not go together.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        adversarial: Any,
        options: DiscriminatorOptions,
        *,
        holes: Holes = "none",
        matching: Callable[[Outputs, Outputs], Tensor] = feature_matching,
    ) -> None:
        self.discriminator, self.adversarial, self.options = discriminator, adversarial, options
        self.holes, self.matching = holes, matching
        if adversarial.needs_hole and holes == "none":
            raise UserError("this --gan_mode looks at holes, which only --model inpaint and its kin have: use lsgan")
        if self.lazy and (own := adversarial.own_R1):
            raise UserError(f"--lambda_R1 {options.lambda_R1:g}: --{own} is R1 too; leave it out, or add --{own} 0")
        self.augmentation = _augmentation(options, adversarial)

    def loss_D(
        self, real: Tensor, fake: Tensor, condition: Context = None, hole: Context = None
    ) -> tuple[Tensor, Tensor]:
        """Return what real and generated images cost the discriminator."""
        real_outputs, fake_outputs = self._outputs(real, fake, condition=condition, hole=hole)
        if self.augmentation is not None and self.adversarial.midpoint is not None:
            self.augmentation.observe(real_outputs, self.adversarial.midpoint)
        return self.adversarial.discriminator_loss(real_outputs, fake_outputs, *self._asked(hole))

    def loss_G(
        self, fake: Tensor, real: Tensor, condition: Context = None, hole: Context = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the adversarial loss of the generator, and feature matching where it is weighted."""
        compares, weight = self.adversarial.needs_real, self.options.lambda_FM
        if weight and fake.shape != real.shape:
            raise UserError(
                f"--lambda_FM {weight:g} compares real and generated images place by place, but their sizes differ: "
                "use --preprocess resize_and_crop, or --lambda_FM 0"
            )
        images = (fake, real) if compares or weight else (fake,)
        outputs = self._outputs(*images, condition=condition, hole=hole)
        matching = weight * self.matching(*outputs) if weight else None
        return self.adversarial.generator_loss(*outputs[: 2 if compares else 1], *self._asked(hole)), matching

    def penalty(self, real: Tensor, fake: Tensor, condition: Context = None, hole: Context = None) -> Tensor | None:
        """Return the penalty of the ``--gan_mode``; None where it has none."""
        seen = (self._framed(image, condition, hole) for image in (real, fake))
        return self.adversarial.penalty(self._sees(condition), *seen)

    @property
    def lazy(self) -> bool:
        """Whether there is a penalty for every ``--R1_every``-th step."""
        return self.options.lambda_R1 > 0

    def r1(self, real: Tensor, condition: Context = None, hole: Context = None) -> Tensor:
        """Return the weighted R1 penalty."""
        return self.options.lambda_R1 * r1_penalty(self._sees(condition), self._framed(real, condition, hole))

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

    def _outputs(self, *images: Tensor, condition: Context, hole: Context) -> list[Outputs]:
        seen = [self._altered(self._framed(image, condition, hole), condition) for image in images]
        return split_calls(self.discriminator, *seen)

    def _sees(self, condition: Context) -> Callable[[Tensor], Outputs]:
        return lambda x: self.discriminator(self._altered(x, condition))

    def _framed(self, image: Tensor, condition: Context, hole: Context) -> Tensor:
        """Return the image with what D sees around it."""
        parts = [part for part in (condition, image, hole if self.holes == "seen" else None) if part is not None]
        return torch.cat(parts, 1) if len(parts) > 1 else image

    def _altered(self, x: Tensor, condition: Context) -> Tensor:
        if self.augmentation is None:
            return x
        return self.augmentation(x, 0 if condition is None else condition.shape[1], int(self.holes == "seen"))

    def _asked(self, hole: Context) -> tuple[Tensor, ...]:
        """Return the mask as the images were moved, where the ``--gan_mode`` asks for it."""
        if hole is None or not self.adversarial.needs_hole:
            return ()
        return (hole if self.augmentation is None else self.augmentation(hole, behind=1),)


def refuse_discriminator_flags(options: DiscriminatorOptions) -> None:
    """UserError where flags ask something of a discriminator that ``--lambda_GAN 0`` leaves out."""
    asked = {"lambda_R1": f"{options.lambda_R1:g}", "lambda_FM": f"{options.lambda_FM:g}"}
    for name, text in (asked | {"augment": ",".join(options.augment)}).items():
        if text not in ("", "0"):
            fix = "leave out one of them" if name == "augment" else f"leave out one of them, or add --{name} 0"
            raise UserError(f"--{name} {text} is about the discriminator, and --lambda_GAN is 0: {fix}")


def _augmentation(options: DiscriminatorOptions, adversarial: Any) -> Augmentation | None:
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
