"""Several models as one: exact where they are equal, in file units where they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from data.value_range import ValueRange
from data.writers import FileFormat
from inference.domain import Domain
from inference.ensemble import Ensemble, Member, Units, common_domains, median, soup, units_of, vote
from inference.predictor import Predictor
from inference.settings import InferenceOptions
from models.builder import Builder, Channels
from models.networks import GENERATORS
from models.test_model import OneSided, OneSidedOptions
from util.errors import UserError

CPU = torch.device("cpu")
WHOLE = Domain.whole("uint8", 3)
PART = Domain(ValueRange(20, 120), FileFormat("uint8", 3))
FLOATS = Domain(ValueRange(0, 80), FileFormat("float32", 1))


def make(seed: int, name: str = "resnet_6blocks", **values: Any) -> OneSided:
    options = GENERATORS.options(name)(**{"ngf": 4, "init_gain": 0.3, "norm": "batch", **values})
    return OneSided(OneSidedOptions(), Builder({"netG": (GENERATORS.get(name), options)}, Channels(3, 3), seed))


def image(height: int = 37, width: int = 30) -> dict[str, torch.Tensor]:
    return {"A": torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1}


def run(ensemble: Any, **options: Any) -> torch.Tensor:
    return Predictor(ensemble, CPU, options=InferenceOptions(**options))(image())["fake"]


@pytest.mark.parametrize("how", ["mean", "median", "vote"])
@pytest.mark.parametrize("tta", ["none", "x8"])
def test_a_model_with_itself_is_itself(how: str, tta: str) -> None:
    alone = run(make(1), tta=tta)
    together = run(Ensemble([Member(make(1)), Member(make(1))], how), tta=tta)
    if (how, tta) == ("mean", "x8"):  # the mean of sixteen, not of two means of eight
        assert torch.allclose(together, alone, atol=1e-6)
    else:
        assert torch.equal(together, alone)


def test_mean_and_median_of_models_that_pad_differently() -> None:
    parts = [make(1), make(2), make(3, "unet_128", ngf=2)]
    single = torch.stack([run(make(1)), run(make(2)), run(make(3, "unet_128", ngf=2))])
    assert torch.allclose(run(Ensemble([Member(part) for part in parts])), single.mean(0), atol=1e-6)
    assert torch.equal(run(Ensemble([Member(part) for part in parts], "median")), single.median(0).values)
    assert torch.equal(median(single[:2]), single[:2].mean(0))


def test_a_vote_keeps_whole_pixels_and_breaks_ties_by_the_mean() -> None:
    red, green, blue = (torch.tensor(colour) for colour in ([9.0, 0, 0], [0, 9.0, 0], [0, 0, 6.0]))
    stack = torch.stack([red, green, red]).view(3, 1, 3, 1, 1)
    assert torch.equal(vote(stack, stack.int()).flatten(), red)
    stack = torch.stack([green, red, blue]).view(3, 1, 3, 1, 1)
    assert torch.equal(vote(stack, stack.int()).flatten(), blue), "nearest the mean (3, 3, 2)"
    values = torch.tensor([0.2, 0.9, 0.201]).view(3, 1, 1, 1, 1)
    found = Ensemble([], "vote").joined(list(values))
    assert float(found) == pytest.approx(0.2, abs=0.002), "0.2 and 0.201 are one 8-bit level, 0.9 another"


def test_a_vote_on_floats_is_refused() -> None:
    with pytest.raises(UserError, match="no levels to agree on"):
        Ensemble([], "vote", FLOATS)
    with pytest.raises(UserError, match="--mc_dropout averages"):
        model = make(1, no_dropout=False)
        Predictor(Ensemble([Member(model)], "median"), CPU, options=InferenceOptions(mc_dropout=2))


def test_units_are_those_of_files() -> None:
    values = np.random.default_rng(0).uniform(20, 120, 50)
    units = Units.between(WHOLE.range, PART.range)
    common, own = (torch.from_numpy(domain.range.normalize(values)) for domain in (WHOLE, PART))
    assert torch.allclose(units.there(common), own, atol=1e-5)
    assert torch.allclose(units.back(own), common, atol=1e-5)


def test_models_of_other_ranges_are_averaged_in_file_units() -> None:
    values = np.random.default_rng(0).integers(20, 120, (1, 3, 32, 32))

    def files(domain: Domain, ensemble: Any) -> np.ndarray:
        given = {"A": torch.from_numpy(domain.range.normalize(values))}
        return domain.range.restore(Predictor(ensemble, CPU)(given)["fake"].numpy())

    saved = [{"A": WHOLE, "B": WHOLE}, {"A": PART, "B": PART}]
    common = common_domains(saved, ["a", "b"])
    assert common == {"A": PART, "B": PART}, "in which files of 16 bits have no meaning"
    members = [Member(make(seed), "auto", units_of(own, common)) for seed, own in zip((1, 2), saved, strict=True)]
    expected = (files(WHOLE, make(1)) + files(PART, make(2))) / 2
    assert np.abs(files(PART, Ensemble(members)) - expected).max() < 1e-3


def test_values_without_a_common_unit_are_refused() -> None:
    with pytest.raises(UserError, match=r"results of a are uint8 0 to 255.*float32 0 to 80.*no average"):
        common_domains([{"B": FLOATS}, {"B": WHOLE}], ["b", "a"])


def test_whole_depths_and_runs_that_kept_nothing_need_no_map() -> None:
    saved = [{"B": WHOLE}, {"B": Domain.whole("uint16", 3)}, {}]
    common = common_domains(saved, ["a", "b", "c"])
    assert common == {"B": WHOLE} and [units_of(own, common) for own in saved] == [{}, {}, {}]


def test_a_soup_is_the_average_network() -> None:
    first, second = make(1), make(2)
    mean = {key: (value + second.state_dict()[key]) / 2 for key, value in first.state_dict().items()}
    state = soup([first, second], ["a", "b"]).state_dict()
    assert all(torch.allclose(state[key], mean[key].to(state[key].dtype), atol=1e-6) for key in mean)
    assert torch.equal(run(soup([make(1), make(1)], ["a", "a"])), run(make(1)))


@pytest.mark.parametrize("values", [{"ngf": 8}, {"norm": "none"}, {"name": "resnet_9blocks"}])
def test_a_soup_of_different_networks_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="a and b have different networks"):
        soup([make(1), make(2, **values)], ["a", "b"])
