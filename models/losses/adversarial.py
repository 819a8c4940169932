"""Adversarial losses, one class per ``--gan_mode``. Logits of several scales are averaged.

Every discriminator loss returns (D_real, D_fake); a method's total is their mean. Half-precision logits are
widened to float32 first. A class says by ``needs_real`` that its generator loss compares with the real images, and by
``couples_samples`` that it does not decompose into the losses of parts of a batch; by ``needs_hole`` that both take the
mask of the holes too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses import GAN_MODES
from models.networks.norms import mean_over_ranks
from models.networks.outputs import DiscriminatorOutput
from util.errors import UserError
from util.noise import rand
from util.option import option
from util.precision import widened

Outputs = list[DiscriminatorOutput]


def mean_over_scales(outputs: Outputs, term: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean over ``outputs`` of the mean of ``term(logits)``, a scalar of at least float32."""
    means = [term(widened(output.logits)).mean() for output in outputs]
    return torch.stack(means).mean()


def gradient_penalty(discriminator: Callable[[Tensor], Outputs], real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean of (|dD/dx| - 1)^2 at random points x between the pairs (Gulrajani et al. 2017, 1704.00028).

    D is a sample's mean logit, the critic that the loss uses; its scale does not depend on the number of patches.

    Args:
        discriminator: maps (N,C,H,W) to outputs; it is run once and must allow a second derivative.
        real: (N,C,H,W) the true images.
        fake: (N,C,H,W) the made images; no gradient flows into either.

    Raises:
        UserError: the two are of different sizes.
    """
    if real.shape != fake.shape:
        (height, width), (other_height, other_width) = real.shape[2:], fake.shape[2:]
        raise UserError(
            f"--gan_mode wgangp mixes real and generated images, here of {width}x{height} and "
            f"{other_width}x{other_height} pixels: use --preprocess resize_and_crop, or another --gan_mode"
        )
    weight = rand(real, (1, 1, 1), "gradient penalty").to(real.dtype)
    mixed = torch.lerp(fake.detach(), real.detach(), weight).requires_grad_(True)
    squares = [_squared_slope(output.logits, mixed) for output in discriminator(mixed)]
    slopes = [(square + 1e-12).sqrt() for square in squares]  # the offset keeps a zero gradient differentiable
    return torch.stack([(slope - 1).square().mean() for slope in slopes]).mean()


def _squared_slope(logits: Tensor, x: Tensor) -> Tensor:
    """Return the squared length of the gradient of each sample's mean logit, (N,)."""
    score = widened(logits).flatten(1).mean(1).sum()
    (gradient,) = torch.autograd.grad(score, x, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def r1_penalty(discriminator: Callable[[Tensor], Outputs], real: Tensor) -> Tensor:
    """Return half the mean of |dD/dx|^2 at real images x (N,C,H,W), a scalar (R1, Mescheder et al. 2018, 1801.04406).

    D is as in :func:`gradient_penalty`.
    """
    x = real.detach().requires_grad_(True)
    return 0.5 * torch.stack([_squared_slope(output.logits, x).mean() for output in discriminator(x)]).mean()


class AdversarialLoss:
    """What most losses are: without flags and penalty, a sum over samples, blind to real images in G's turn."""

    needs_real = needs_hole = couples_samples = False
    own_R1 = ""  # the flag of R1 where the loss brings its own
    midpoint: float | None = None  # the logit between fake and real, where a single image's logit says which it is

    def __init__(self, options: object = None) -> None:
        pass

    def penalty(self, discriminator: Callable[[Tensor], Outputs], real: Tensor, fake: Tensor) -> Tensor | None:
        """Return None: there is nothing to add to the discriminator's loss."""
        return None


@GAN_MODES.register("lsgan")
class LeastSquares(AdversarialLoss):
    """Least squares GAN (Mao et al. 2017, arXiv:1611.04076): targets 1 (real) and 0 (fake)."""

    midpoint = 0.5

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> tuple[Tensor, Tensor]:
        return mean_over_scales(real, lambda x: (x - 1).square()), mean_over_scales(fake, torch.square)

    def generator_loss(self, fake: Outputs) -> Tensor:
        return mean_over_scales(fake, lambda x: (x - 1).square())


@GAN_MODES.register("vanilla")
class Vanilla(AdversarialLoss):
    """Cross entropy with the non-saturating generator loss (Goodfellow et al. 2014, arXiv:1406.2661)."""

    midpoint = 0.0

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> tuple[Tensor, Tensor]:
        return mean_over_scales(real, lambda x: F.softplus(-x)), mean_over_scales(fake, F.softplus)

    def generator_loss(self, fake: Outputs) -> Tensor:
        return mean_over_scales(fake, lambda x: F.softplus(-x))


@GAN_MODES.register("hinge")
class Hinge(AdversarialLoss):
    """Hinge loss (Lim and Ye 2017, arXiv:1705.02894): no gradient from samples beyond the margin of 1."""

    midpoint = 0.0

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> tuple[Tensor, Tensor]:
        return mean_over_scales(real, lambda x: F.relu(1 - x)), mean_over_scales(fake, lambda x: F.relu(1 + x))

    def generator_loss(self, fake: Outputs) -> Tensor:
        return mean_over_scales(fake, torch.neg)


@dataclass(frozen=True)
class WassersteinOptions:
    lambda_gp: float = option(10.0, "weight of the WGAN-GP gradient penalty", minimum=0.0)


@GAN_MODES.register("wgangp", options=WassersteinOptions)
class Wasserstein(AdversarialLoss):
    """Wasserstein GAN with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028)."""

    def __init__(self, options: WassersteinOptions) -> None:
        self.lambda_gp = options.lambda_gp

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> tuple[Tensor, Tensor]:
        return mean_over_scales(real, torch.neg), mean_over_scales(fake, lambda x: x)

    def generator_loss(self, fake: Outputs) -> Tensor:
        return mean_over_scales(fake, torch.neg)

    def penalty(self, discriminator: Callable[[Tensor], Outputs], real: Tensor, fake: Tensor) -> Tensor | None:
        """Return lambda_gp times :func:`gradient_penalty`, or None when lambda_gp is 0."""
        return self.lambda_gp * gradient_penalty(discriminator, real, fake) if self.lambda_gp else None


@GAN_MODES.register("relativistic")
class Relativistic(AdversarialLoss):
    """Relativistic GAN (Jolicoeur-Martineau 2018, arXiv:1807.00734): real must score higher than the fake beside it."""

    needs_real = True

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> tuple[Tensor, Tensor]:
        """Return the one loss twice, as it compares both."""
        loss = _compare(real, fake)
        return loss, loss

    def generator_loss(self, fake: Outputs, real: Outputs) -> Tensor:
        return _compare(fake, real)


def _compare(better: Outputs, worse: Outputs) -> Tensor:
    pairs = list(zip(better, worse, strict=True))
    if any(high.logits.shape != low.logits.shape for high, low in pairs):
        raise UserError(
            "--gan_mode relativistic compares real and generated images place by place, but their sizes differ: use "
            "--preprocess resize_and_crop, or --gan_mode relativistic_average"
        )
    terms = [F.softplus(widened(low.logits) - widened(high.logits)).mean() for high, low in pairs]
    return torch.stack(terms).mean()


@GAN_MODES.register("relativistic_average")
class RelativisticAverage(AdversarialLoss):
    """Relativistic average GAN (arXiv:1807.00734), as in ESRGAN: each image against the mean of the other kind.

    The means are those of the whole batch, over all ranks.
    """

    needs_real = couples_samples = True

    def discriminator_loss(self, real: Outputs, fake: Outputs) -> tuple[Tensor, Tensor]:
        return _against_mean(real, fake, sign=-1), _against_mean(fake, real, sign=1)

    def generator_loss(self, fake: Outputs, real: Outputs) -> Tensor:
        return 0.5 * (_against_mean(real, fake, sign=1) + _against_mean(fake, real, sign=-1))


def _against_mean(ours: Outputs, others: Outputs, sign: int) -> Tensor:
    """Return the mean of softplus(sign * (logits - mean of the other logits)) over all scales."""
    terms = []
    for own, other in zip(ours, others, strict=True):
        advantage = widened(own.logits) - mean_over_ranks(widened(other.logits))
        terms.append(F.softplus(sign * advantage).mean())
    return torch.stack(terms).mean()
