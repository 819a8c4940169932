"""Encoders of timm: any of them, their own weights, grey input, seeded beginnings, and training without batch norm."""

from __future__ import annotations

import pathlib

import pytest
import timm
import torch

from models.networks import GENERATORS
from models.networks.around import Around
from models.networks.foreign import clean_state_dict
from models.networks.initialise import init_weights
from models.networks.lab import LabColorizer
from models.networks.timm_unet import TimmUnet
from tests.models.networks.small import small
from training.transfer import init_from
from util.errors import UserError


def build(encoder: str, input_nc: int = 3) -> TimmUnet:
    options = GENERATORS.options("timm_unet")(ngf=2, encoder=encoder)
    return GENERATORS.get("timm_unet")(options, input_nc, 1)


@pytest.mark.parametrize("encoder", ["test_resnet", "test_nfnet", "test_vit", "test_efficientnet"])
def test_encoders_of_every_kind_give_the_size_they_were_given(encoder: str) -> None:
    network = build(encoder, 1).eval()
    step = network.size_multiple
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 2 * step, 3 * step)).shape == (1, 1, 2 * step, 3 * step)


@pytest.mark.parametrize(("encoder", "input_nc"), [("test_convnext", 3), ("test_resnet", 1), ("test_nfnet", 3)])
def test_a_file_of_timms_weights_fills_the_encoder(tmp_path: pathlib.Path, encoder: str, input_nc: int) -> None:
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model(encoder).state_dict(), path)
    network = build(encoder, input_nc).eval()
    said = init_from({"G": network}, path)
    assert f"{len(network.encoder.state_dict())} of" in said
    overlay = {"file": str(path)}
    expected = timm.create_model(encoder, features_only=True, pretrained=True, pretrained_cfg_overlay=overlay).eval()
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        ours, theirs = network.encoder(grey.expand(-1, input_nc, -1, -1)), expected(grey.expand(-1, 3, -1, -1))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_its_own_weights_are_read_as_they_are() -> None:
    network = build("test_convnext")
    state = network.state_dict()
    assert network.own_state(state) == dict(state)


def test_what_is_around_it_takes_the_encoders_weights_too() -> None:
    own = build("test_convnext")
    state = timm.create_model("test_convnext").state_dict()
    for outer in (Around(own, (3, 1), image_nc=2), LabColorizer(own)):
        found = clean_state_dict(state, outer)
        assert set(found) == {f"encoder.{key}" for key in own.encoder.state_dict()}


def test_the_generator_decides_the_beginning_of_encoder_and_decoder() -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        made = init_weights(small("G", "timm_unet"), "published", generator=torch.Generator().manual_seed(seed))
        return made.state_dict()

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    for part in ("encoder.stages_0", "up.0", "last"):
        key = next(key for key in first if key.startswith(part) and first[key].ndim == 4)
        assert not torch.equal(first[key], other[key])


def test_an_nfnet_learns_with_adaptive_clipping() -> None:
    from training.optimizers import Optimizer
    from training.settings import OptimizerOptions

    network = build("test_nfnet").train()
    init_weights(network, "published", generator=torch.Generator().manual_seed(0))
    step = Optimizer(list(network.parameters()), OptimizerOptions(agc=0.01), 1e-3)
    random = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, 64, 64, generator=random) * 2 - 1
    target, errors = 0.8 * x.mean(1, keepdim=True).sign(), []
    for _ in range(12):
        error = (network(x) - target).square().mean()
        step.zero_grad()
        error.backward()
        step.step(step.norm())
        errors.append(error.item())
    assert errors[-1] < 0.8 * errors[0]


@pytest.mark.parametrize(("encoder", "part"), [("resnet19", "did you mean"), ("test_mambaout_x", "no such network")])
def test_unknown_encoders_are_one_line(encoder: str, part: str) -> None:
    with pytest.raises(UserError, match=f"--encoder {encoder}.*{part}"):
        build(encoder)
