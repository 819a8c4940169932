"""Between a gradient and new weights: against torch's own optimizers and plain arithmetic."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from training.optimizers import Optimizer
from training.settings import OptimizerOptions
from util.errors import UserError


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 1, 3)).double()


def learn(net: nn.Module, optimizer: Any, steps: int = 3) -> None:
    random = torch.Generator().manual_seed(1)
    for _ in range(steps):
        loss = net(torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=random)).square().mean() * 50
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(optimizer.norm()) if isinstance(optimizer, Optimizer) else optimizer.step()


def make(net: nn.Module, rate: float = 0.01, **options: Any) -> Optimizer:
    return Optimizer(list(net.parameters()), OptimizerOptions(**options), rate)


def weights(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_it_is_torchs_optimizer(kind: str) -> None:
    ours, theirs = network(), network()
    reference = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
    learn(ours, make(ours, optimizer=kind, beta1=0.7, beta2=0.9, weight_decay=0.1))
    decays = [{"params": [p], "weight_decay": 0.1 if p.ndim > 1 else 0.0} for p in theirs.parameters()]
    learn(theirs, reference(decays, 0.01, (0.7, 0.9), foreach=False))
    assert torch.allclose(weights(ours), weights(theirs), atol=1e-12)


def test_the_gradient_is_clipped_to_its_norm() -> None:
    net = network()
    optimizer = make(net, clip_grad=0.5)
    learn(net, optimizer, steps=1)
    assert optimizer.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_adaptive_clipping_bounds_every_units_gradient() -> None:
    net = network()
    optimizer = make(net, agc=0.01)
    learn(net, optimizer, steps=1)
    for layer in (net[0], net[2]):
        assert isinstance(layer, nn.Conv2d) and layer.weight.grad is not None
        gradient, size = layer.weight.grad.flatten(1).norm(dim=1), layer.weight.detach().flatten(1).norm(dim=1)
        assert (gradient <= 0.0101 * (size + 0.02)).all(), "a step moved the weights by 0.01 at most"


def test_the_l1_penalty_pulls_weights_to_zero() -> None:
    plain, pulled = network(), network()
    learn(plain, make(plain, rate=0.001), steps=40)
    learn(pulled, make(pulled, rate=0.001, weight_l1=10.0), steps=40)
    assert weights(pulled).abs().sum() < weights(plain).abs().sum()


def test_a_skipped_step_changes_nothing() -> None:
    net = network()
    optimizer = make(net)
    learn(net, optimizer)
    before = copy.deepcopy((weights(net), optimizer.state_dict()["state"]))
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    optimizer.step(optimizer.norm(), skip=torch.tensor(True))
    assert torch.equal(weights(net), before[0])
    after = optimizer.state_dict()["state"]
    assert all(torch.equal(after[i][name], before[1][i][name]) for i in after for name in after[i])


def test_saved_moments_go_on_in_any_memory_layout() -> None:
    first = network()
    optimizer = make(first)
    learn(first, optimizer)
    second = copy.deepcopy(first).to(memory_format=torch.channels_last)
    other = make(second)
    other.load_state_dict(optimizer.state_dict())
    saved, restored = (o.state_dict()["state"] for o in (optimizer, other))
    assert all(torch.equal(saved[i][name], restored[i][name]) for i in saved for name in saved[i])
    assert all(state["exp_avg"].is_contiguous() for state in other.moments), "as the fused kernel wants it"
    learn(first, optimizer)
    learn(second, other)
    assert torch.allclose(weights(second), weights(first), atol=1e-10)


def test_moments_of_other_weights_are_refused() -> None:
    net = network()
    state = make(net).state_dict()
    net[0].requires_grad_(False)
    frozen = Optimizer([p for p in net.parameters() if p.requires_grad], OptimizerOptions(), 0.01)
    with pytest.raises(UserError, match="--continue_train: the saved run trains other weights"):
        frozen.load_state_dict(state)


def test_penalties_spare_biases() -> None:
    for options in ({"weight_decay": 1.0, "optimizer": "adamw"}, {"weight_l1": 1.0}):
        net = network()
        before = copy.deepcopy(net.state_dict())
        optimizer = make(net, **options)
        for parameter in net.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step(optimizer.norm())
        moved = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
        assert moved == {"0.weight", "2.weight"}


def test_the_state_exists_before_the_first_step() -> None:
    optimizer = make(network())
    assert all(state["exp_avg"].abs().sum() == 0 == state["step"] for state in optimizer.moments)
    assert optimizer.set_rate(0.5) == 0.005 == optimizer.rate
