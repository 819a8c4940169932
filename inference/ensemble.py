"""Several models as one: what each makes of an image, joined in file units; or their weights, averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from data.value_range import ValueRange, as_dtype
from inference.domain import Domain
from inference.variants import RunningMean
from models.base import Images, TranslationModel
from util.errors import UserError


@dataclass(frozen=True)
class Units:
    """The map from [-1,1] of one value range to [-1,1] of another: the same values in files."""

    scale: float
    shift: float

    @classmethod
    def between(cls, common: ValueRange, own: ValueRange) -> Units:
        """Return the map from what the common range calls [-1,1] to what a model's own calls so."""
        width = own.high - own.low
        scale = (common.high - common.low) / width
        return cls(scale, scale - 1 + 2 * (common.low - own.low) / width)

    def there(self, x: Tensor) -> Tensor:
        """Return an image of the common range as the model takes it."""
        return x * self.scale + self.shift

    def back(self, x: Tensor) -> Tensor:
        """Undo :meth:`there`."""
        return (x - self.shift) / self.scale


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Args:
        test_norm: as the Predictor takes it.
        units: by side, "A" or "B", where the model was trained in another range than the ensemble's.
    """

    model: TranslationModel
    test_norm: str = "auto"
    units: Mapping[str, Units] = field(default_factory=dict)

    def predict(self, batch: Mapping[str, Tensor]) -> Images:
        """Return the model's images by label, taken and given in the ensemble's range."""
        images = self.model.predict({side: self.taken(image, side) for side, image in batch.items()})
        return {label: self.given(image, self.model.visuals.get(label, "B")) for label, image in images.items()}

    def taken(self, image: Tensor, side: str = "A") -> Tensor:
        """Return an image of the ensemble's range in the model's own."""
        return self.units[side].there(image) if side in self.units else image

    def given(self, image: Tensor, side: str = "B") -> Tensor:
        """Return an image of the model's own range in the ensemble's."""
        return self.units[side].back(image) if side in self.units else image


@dataclass(frozen=True)
class Ensemble:
    """Models whose results are joined, pixel by pixel.

    Args:
        how: "mean", "median" or "vote".
        target: what result values mean in files, which says which of them are equal in a vote; 8 bits if left out.

    Raises:
        UserError: a vote on float32 values.
    """

    members: Sequence[Member]
    how: str = "mean"
    target: Domain | None = None

    def __post_init__(self) -> None:
        if self.how == "vote" and self.target is not None and self.target.format.dtype == "float32":
            raise UserError("--ensemble vote: results in float32 have no levels to agree on; use median or mean")

    @property
    def groups(self) -> list[list[Member]]:
        """Return the members whose versions are averaged on their way, group by group."""
        return [list(self.members)] if self.how == "mean" else [[member] for member in self.members]

    def join(self, groups: Sequence[Images], result: str) -> Images:
        """Return one image for each label, of the means of all groups; only ``result`` is joined otherwise."""
        if len(groups) == 1:
            return groups[0]
        mean = RunningMean()
        for images in groups:
            mean.add(images)
        return mean.mean | {result: self.joined([images[result] for images in groups])}

    def joined(self, images: Sequence[Tensor]) -> Tensor:
        """Return one (N,C,H,W) of several."""
        if len(images) == 1:
            return images[0]
        stack = torch.stack(list(images))
        return median(stack) if self.how == "median" else vote(stack, self._levels(stack))

    def _levels(self, stack: Tensor) -> Tensor:
        domain = self.target or Domain.whole("uint8", stack.shape[2])
        return torch.from_numpy(as_dtype(domain.range.restore(stack.numpy()), domain.format.dtype).astype("int32"))


def median(stack: Tensor) -> Tensor:
    """Return the median over the first dimension: of an even number, the mean of the two in the middle."""
    count = len(stack)
    ordered = stack.sort(0).values
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


def vote(stack: Tensor, levels: Tensor) -> Tensor:
    """Return for each pixel what most members agree on.

    Args:
        stack: (M,N,C,H,W), the results of M members.
        levels: the same in values of files; members agree on a pixel where all of its channels are equal.

    Returns:
        (N,C,H,W), each pixel one of the members'. Of equally frequent ones it is that nearest the mean.
    """
    votes = torch.stack([(levels == own).all(2, keepdim=True).sum(0) for own in levels])
    distance = (stack - stack.mean(0)).square().sum(2, keepdim=True)
    distance = torch.where(votes == votes.max(0).values, distance, torch.inf)
    return stack.gather(0, distance.argmin(0, keepdim=True).expand_as(stack[:1]))[0]


def soup(models: Sequence[TranslationModel], names: Sequence[str]) -> TranslationModel:
    """Return the first model with the average of all weights (Wortsman et al. 2022, uniform soup).

    Args:
        names: of the models, for the message.

    Raises:
        UserError: architectures differ.
    """
    for model, name in zip(models[1:], names[1:], strict=True):
        if _shapes(model) != _shapes(models[0]):
            raise UserError(
                f"--ensemble weights: {names[0]} and {name} have different networks; use --ensemble mean, which "
                "averages their results"
            )
    mean = RunningMean()
    for model in models:
        mean.add({key: value for key, value in model.state_dict().items() if value.is_floating_point()})
    models[0].load_state_dict(models[0].state_dict() | mean.mean)
    return models[0]


def _shapes(model: nn.Module) -> tuple[str, dict[str, torch.Size]]:
    return str(model), {key: value.shape for key, value in model.state_dict().items()}


def common_domains(members: Sequence[Mapping[str, Domain]], names: Sequence[str]) -> dict[str, Domain]:
    """Return by side what values of an ensemble mean, of what training kept for each member.

    Where a member knows a part of the values of a depth, that is the ensemble's too: files of another depth have no
    meaning for it.

    Raises:
        UserError: values of two members have no common unit.
    """
    common: dict[str, Domain] = {}
    for side in ("A", "B"):
        found = [domains[side] for domains in members if side in domains]
        if not found:
            continue
        common[side] = next((domain for domain in found if not domain.is_whole()), found[0])
        for domains, name in zip(members, names, strict=True):
            _check_units(_own(domains, side, common[side]), common[side], name, side)
    return common


def units_of(domains: Mapping[str, Domain], common: Mapping[str, Domain]) -> dict[str, Units]:
    """Return the maps from an ensemble's ranges to a member's, where these differ."""
    units: dict[str, Units] = {}
    for side, shared in common.items():
        own = _own(domains, side, shared)
        if own.range != shared.range and not (own.is_whole() and shared.is_whole()):
            units[side] = Units.between(shared.range, own.range)
    return units


def _own(domains: Mapping[str, Domain], side: str, common: Domain) -> Domain:
    """Return a member's domain: where nothing was kept, as other tools do, all values of the files' depth."""
    return domains.get(side) or Domain.whole(common.format.dtype, common.format.channels)


def _check_units(own: Domain, common: Domain, name: str, side: str) -> None:
    dtypes = {own.format.dtype, common.format.dtype}
    if own.luma == common.luma and (len(dtypes) == 1 or (own.is_whole() and common.is_whole())):
        return
    what = {"A": "inputs", "B": "results"}[side]
    raise UserError(
        f"--name: {what} of {name} are {_described(own)}, those of another run {_described(common)}; without a common "
        "unit there is no average"
    )


def _described(domain: Domain) -> str:
    kind = f"{domain.format.dtype} brightness" if domain.luma else domain.format.dtype
    return f"{kind} {domain.range.low:g} to {domain.range.high:g}"
