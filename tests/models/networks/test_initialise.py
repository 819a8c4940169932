from __future__ import annotations

import pytest
import torch
from torch import nn

from models.networks import GENERATORS
from models.networks.common import INIT_TYPES
from models.networks.initialise import init_weights
from util.errors import UserError


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64), nn.ConvTranspose2d(64, 32, 3), nn.Linear(32, 32))


def seeded(init_type: str, gain: float = 0.02, seed: int = 0) -> nn.Sequential:
    made = network()
    init_weights(made, init_type, gain, torch.Generator().manual_seed(seed))
    return made


@pytest.mark.parametrize("init_type", INIT_TYPES)
def test_the_generator_alone_decides_the_weights(init_type: str) -> None:
    torch.manual_seed(1)
    first = seeded(init_type)
    torch.manual_seed(2)
    second, third = seeded(init_type), seeded(init_type, seed=3)
    pairs = list(zip(first.parameters(), second.parameters(), third.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize("init_type", INIT_TYPES)
def test_biases_are_zero_and_batch_norm_starts_near_one(init_type: str) -> None:
    made = seeded(init_type)
    assert all(not layer.bias.any() for layer in made)
    assert made[1].weight.mean().item() == pytest.approx(1.0, abs=0.01)
    assert made[1].weight.std().item() == pytest.approx(0.02, rel=0.3)


def test_spread_of_each_type() -> None:
    assert seeded("normal", 0.05)[0].weight.std().item() == pytest.approx(0.05, rel=0.05)
    assert seeded("xavier", 0.5)[0].weight.std().item() == pytest.approx(0.5 * (2 / (72 * 9)) ** 0.5, rel=0.05)
    assert seeded("kaiming")[0].weight.std().item() == pytest.approx((2 / 72) ** 0.5, rel=0.05)
    matrix = seeded("orthogonal", 2.0)[3].weight
    torch.testing.assert_close(matrix @ matrix.T, 4 * torch.eye(32), rtol=0, atol=1e-4)


def test_unknown_type_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean '?kaiming"):
        init_weights(network(), "kaming")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("msrresnet", {"conv_first": 0.1, "body.0.conv1": 0.1, "upconv1": 0.1, "conv_hr": 0.1, "conv_last": 0.1}),
        ("rrdb", {"conv_hr": 6**-0.5, "body.0.rdb1.conv1": 0.1, "body.0.rdb3.conv5": 0.1}),
    ],
)
def test_residuals_begin_at_a_tenth_of_he_as_published(name: str, expected: dict[str, float]) -> None:
    """In units of He et al. 2015; PyTorch's own distribution has 1 / sqrt(6) of it."""
    made = GENERATORS.get(name)(GENERATORS.options(name)(n_blocks=1, scale=4), 3, 3)
    init_weights(made, "published", generator=torch.Generator().manual_seed(0))
    for place, share in expected.items():
        weight = made.get_submodule(place).weight
        he = (2 / weight[0].numel()) ** 0.5
        assert weight.std().item() == pytest.approx(share * he, rel=0.1), place
