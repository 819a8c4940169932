"""What fits into a span of time, and that the predictor then does no more than that."""

from __future__ import annotations

import pathlib

import pytest
import torch

from inference import time_budget
from inference.predictor import Predictor
from inference.settings import InferenceOptions
from inference.time_budget import Share, fit, record_share, recorded_share, share_of, use
from models.builder import Builder, Channels
from models.networks import GENERATORS
from models.test_model import OneSided, OneSidedOptions
from util.errors import UserError


def predictor(runs: int, tta: str = "none") -> Predictor:
    options = GENERATORS.options("resnet_6blocks")(ngf=2, init_gain=0.5, no_dropout=True)
    choice = {"netG": (GENERATORS.get("resnet_6blocks"), options)}
    models = [OneSided(OneSidedOptions(), Builder(choice, Channels(3, 3), seed)) for seed in range(runs)]
    return Predictor(models, torch.device("cpu"), options=InferenceOptions(tta=tta))


@pytest.mark.parametrize(
    ("budget", "expected"),
    [(0.1, (1, 1)), (1, (1, 1)), (2.5, (2, 1)), (5, (3, 1)), (6, (3, 2)), (23, (3, 4)), (24, (3, 8)), (1e9, (3, 8))],
)
def test_runs_come_first_and_then_views(budget: float, expected: tuple[int, int]) -> None:
    assert share_of(budget, 1.0, 3, 8) == Share(*expected)
    assert share_of(budget, 1.0, 3, 1).views == 1


def test_the_predictor_does_its_share(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    batch = {"A": torch.rand(1, 3, 24, 24) * 2 - 1}
    monkeypatch.setattr(time_budget, "_seconds", lambda *_: 1.0)
    translate = predictor(3, "x8")
    whole = translate(batch)["fake"]
    share = fit(translate, [batch], 10, 45.0)  # seconds for 10 images of a second each: 4 passes
    assert share == Share(3, 1) and translate.passes == (3, 8), "nothing is settled yet"
    assert use(translate, share) == "3 of 3 runs and 1 of 8 views"
    assert capsys.readouterr().err.count("--time_budget: 3 of 3 runs and 1 of 8 views") == 1
    assert torch.equal(translate(batch)["fake"], predictor(3)(batch)["fake"])
    translate.limit(3, 8)
    assert torch.equal(translate(batch)["fake"], whole)
    less = predictor(2)
    assert use(less, Share(3, 8)) == "2 of 2 runs" and less.passes == (2, 1), "what --tta none no longer asks for"
    with pytest.raises(UserError, match="none of the first images"):
        fit(translate, [], 10, 45.0)


def test_a_test_that_is_taken_up_goes_on_as_it_began(tmp_path: pathlib.Path) -> None:
    assert recorded_share(tmp_path) is None
    record_share(tmp_path / "new", Share(2, 4))
    assert recorded_share(tmp_path / "new") == Share(2, 4)
    (tmp_path / "time_budget.json").write_text("{}")
    assert recorded_share(tmp_path) is None
