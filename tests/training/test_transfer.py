"""Starting from other weights, and keeping some of them fixed."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import torch
from torch import nn

from models.base import Batch, Images, Losses, Phase, TranslationModel
from models.files import save_networks
from models.networks.around import Around
from training.transfer import freeze, init_from
from util.errors import UserError


def network(width: int = 4, channels: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 3, 3))


class Two(TranslationModel):
    """A generator and a discriminator."""

    def __init__(self) -> None:
        super().__init__()
        self.G, self.D = network(), network()

    def forward(self, batch: Batch) -> Images:
        return {}

    def loss(self, batch: Batch, images: Images) -> Losses:
        return {}

    def phases(self) -> tuple[Phase, ...]:
        return Phase("G", ("G",), self.loss, through_images=True), Phase("D", ("D",), self.loss)


def test_a_run_gives_each_network_its_own_weights(tmp_path: pathlib.Path) -> None:
    there, here = {"G": network(), "D": network()}, {"G": network(), "D": network()}
    save_networks(there, tmp_path, "latest")
    lines = init_from(here, tmp_path).splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "--init_from: G: 9 of 9 tensors taken",
        "--init_from: D: 9 of 9 tensors taken",
    ]
    for name in here:
        for key, value in there[name].state_dict().items():
            assert torch.equal(here[name].state_dict()[key], value)


def test_what_does_not_fit_is_named_with_the_reason_and_left_alone(tmp_path: pathlib.Path) -> None:
    there, here = network(channels=1), network()
    there.append(nn.Conv2d(3, 3, 1))
    save_networks({"G": there}, tmp_path, "latest")
    before = here[0].weight.detach().clone()  # type: ignore[index]
    text = init_from({"G": here}, tmp_path)
    assert "8 of 9 tensors taken; not: 0.weight is 4x1x3x3 there and 4x3x3x3 here; 3.weight is unknown here" in text
    assert torch.equal(here[0].weight, before)  # type: ignore[index]
    assert torch.equal(here[2].weight, there[2].weight)  # type: ignore[index]


def test_long_lists_are_cut(tmp_path: pathlib.Path) -> None:
    save_networks({"G": nn.Sequential(nn.Conv2d(3, 4, 3))}, tmp_path, "latest")
    assert "2 of 9 tensors taken; not: 1.weight is missing there; " in (text := init_from({"G": network()}, tmp_path))
    assert " and 4 more" in text


def test_a_file_goes_into_the_first_generator(tmp_path: pathlib.Path) -> None:
    save_networks({"G": (there := network())}, tmp_path, "7")
    here = {"D_A": network(), "G_A": network(), "G_B": network()}
    text = init_from(here, tmp_path / "7_net_G.pth")
    assert "G_A: 9 of 9" in text and "G_B: no weights" in text
    assert torch.equal(here["G_A"][0].weight, there[0].weight)  # type: ignore[index]


def test_a_generator_of_the_other_kind_of_run_will_do(tmp_path: pathlib.Path) -> None:
    save_networks({"G_A": (there := network())}, tmp_path, "latest")
    here = {"G": network(), "D": network()}
    assert "D: no weights in" in init_from(here, tmp_path)
    assert torch.equal(here["G"][0].weight, there[0].weight)  # type: ignore[index]


def test_nothing_that_fits_is_refused_in_one_line(tmp_path: pathlib.Path) -> None:
    save_networks({"G": nn.Sequential(nn.Linear(2, 2))}, tmp_path, "latest")
    with pytest.raises(UserError, match=r"not one tensor fits; G: 0 of 9.*0.weight is 2x2 there") as caught:
        init_from({"G": network()}, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "message"), [("missing", "no such run or file"), (".", "no latest_net_")])
def test_a_wrong_place_is_named(tmp_path: pathlib.Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        init_from({"G": network()}, tmp_path / name)


def test_frozen_weights_get_no_gradient() -> None:
    model = Two()
    assert freeze(model, ["G.0.*", "D.?.bias"]) == "--freeze: 5 of 12 weight tensors stay as they are"
    fixed = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert fixed == ["G.0.weight", "G.0.bias", "D.0.bias", "D.1.bias", "D.2.bias"]


def test_a_weight_is_called_as_in_its_file_whatever_is_around_the_network() -> None:
    model: Any = Two()
    model.G = Around(nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)), (1, 1), residual=True)
    assert freeze(model, ["G.0.*"]).startswith("--freeze: 2 of")
    assert [p.requires_grad for p in model.G.parameters()] == [False, False, True, True]


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"--freeze H\.\*: no weight has such a name; they are like G\.0\.weight"):
        freeze(Two(), ["G.0.*", "H.*"])


def test_a_player_with_nothing_to_train_is_refused() -> None:
    model = Two()
    with pytest.raises(UserError, match="nothing of D is left to train"):
        freeze(model, ["D.*"])
    assert all(parameter.requires_grad for parameter in model.parameters())
