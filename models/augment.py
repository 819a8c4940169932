"""What a discriminator sees in place of the images, so that few of them do not get known by heart.

The alterations are those of DiffAugment (Zhao et al. 2020, arXiv:2006.10738): differentiable, so that the generator
learns through them. Their probability can follow how much D overfits, as in ADA (Karras et al. 2020,
arXiv:2006.06676). A sample's real and generated image, in D's turn and in G's, are altered alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models.networks.outputs import DiscriminatorOutput
from util.errors import UserError, did_you_mean
from util.noise import rand

_MEMORY = 256  # images over which the certainty of D is averaged
_SHIFT, _HOLE = 1 / 8, 1 / 2  # of the image's sides
_DRAWS = 3  # of each alteration


def color(x: Tensor, draws: Tensor) -> Tensor:
    """Return (N,C,H,W) with another brightness (by up to 0.5), saturation (0 to 2) and contrast (0.5 to 1.5).

    Args:
        draws: (N,3,1,1,1) in [0,1).
    """
    brightness, saturation, contrast = draws.unbind(1)
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = torch.lerp(grey, x, 2 * saturation)
    return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, 0.5 + contrast)


def translation(x: Tensor, draws: Tensor) -> Tensor:
    """Return (N,C,H,W) moved by up to an eighth of its sides; zeros come in. ``draws`` as in :func:`color`."""
    for axis, draw in ((2, draws[:, 0]), (3, draws[:, 1])):
        size = x.shape[axis]
        reach = round(size * _SHIFT)
        offset = (draw * (2 * reach + 1)).floor().long() - reach
        shape = [1, 1, 1, 1]
        shape[axis] = size
        places = torch.arange(size, device=x.device).view(shape) + offset
        inside = (places >= 0) & (places < size)
        x = x.gather(axis, places.clamp(0, size - 1).expand_as(x)) * inside
    return x


def cutout(x: Tensor, draws: Tensor) -> Tensor:
    """Return (N,C,H,W) with a rectangle of half its sides set to zero; its centre is anywhere."""
    hole = torch.ones((), dtype=torch.bool, device=x.device)
    for axis, draw in ((2, draws[:, 0]), (3, draws[:, 1])):
        size = x.shape[axis]
        shape = [1, 1, 1, 1]
        shape[axis] = size
        places = torch.arange(size, device=x.device).view(shape)
        hole = hole & ((places - (draw * size).floor()).abs() * 2 < size * _HOLE)
    return x * ~hole


_POLICIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}


def _colored(x: Tensor, draws: Tensor, image: slice) -> Tensor:
    """Return (N,C,H,W) with other colors in the channels of the image alone, of which there may be none."""
    if image.start == image.stop:
        return x
    return torch.cat([x[:, : image.start], color(x[:, image], draws), x[:, image.stop :]], 1)


class Augmentation(nn.Module):
    """Alters what a discriminator sees; its state is the probability and how certain D was of late.

    Args:
        policies: names of alterations; each is done or not to a sample as a whole.
        probability: of each of them, whatever a saved state says; 0 begins there, or where that was, and follows D.
        target: mean sign of D's logits of real images that is strived for.
        images: number in which the probability can go from 0 to 1.

    Raises:
        UserError: there is no such alteration.
    """

    p: Tensor
    certainty: Tensor
    signs: Tensor
    seen: Tensor

    def __init__(self, policies: Sequence[str], probability: float, target: float = 0.6, images: int = 100_000) -> None:
        super().__init__()
        for name in policies:
            if name not in _POLICIES:
                near = did_you_mean(name, _POLICIES)
                raise UserError(f"unknown --augment '{name}'{near} (choose from {', '.join(_POLICIES)})")
        self.policies = [name for name in _POLICIES if name in policies]
        self.probability, self.adapts, self.target, self.images = probability, probability == 0, target, images
        for name in ("p", "certainty", "signs", "seen"):
            self.register_buffer(name, torch.tensor(probability if name == "p" else 0.0, dtype=torch.float32))

    def forward(self, x: Tensor, before: int = 0, behind: int = 0) -> Tensor:
        """Return (N,C,H,W) altered; so many first and last channels are moved with the others, but keep their colors.

        The draws belong to the sample and the step: whatever image of it comes, it is altered alike.
        """
        draws = rand(x, (len(_POLICIES), 1 + _DRAWS, 1, 1, 1), "augment").to(x.dtype)
        image = slice(before, x.shape[1] - behind)
        for number, (name, alter) in enumerate(_POLICIES.items()):
            if name in self.policies:
                coin, values = draws[:, number, 0], draws[:, number, 1:]
                altered = _colored(x, values, image) if name == "color" else alter(x, values)
                x = torch.where(coin < (self.p if self.adapts else self.probability), altered, x)
        return x

    @torch.no_grad()
    def observe(self, real: Sequence[DiscriminatorOutput], midpoint: float) -> None:
        """Take note of D's logits of real images: logits above ``midpoint`` mean real."""
        if self.adapts:
            certain = torch.stack([(output.logits.float() - midpoint).sign().flatten(1).mean(1) for output in real])
            self.signs.add_(certain.mean(0).sum())
            self.seen.add_(certain.shape[1])

    @torch.no_grad()
    def end_step(self, add_up: Callable[[Sequence[Tensor]], None]) -> None:
        """Let the probability follow what was observed in this step and of late.

        Args:
            add_up: replaces tensors by their sums over all processes.
        """
        if not self.adapts:
            return
        add_up([self.signs, self.seen])
        mean = self.signs / self.seen.clamp_min(1)
        self.certainty.lerp_(mean, (self.seen / _MEMORY).clamp_max(1))
        self.p.add_((self.certainty - self.target).sign() * self.seen / self.images).clamp_(0, 1)
        self.signs.zero_()
        self.seen.zero_()

    def diagnostics(self) -> dict[str, float]:
        """Return the probability, where it follows D."""
        return {"augment_p": self.p.item()} if self.adapts else {}
