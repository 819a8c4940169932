"""Averages of weights: the arithmetic, the exchange, the resume."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.ema import WeightAverage


def filled(value: float) -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(value)
    return net


def fill(net: nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(value)


def test_the_average_follows_slowly_after_a_quick_start() -> None:
    net = filled(0.0)
    average = WeightAverage({"G": net}, decay=0.9)
    expected = 0.0
    for update in range(1, 200):
        fill(net, 1.0)
        average.update()
        expected += (1 - min(0.9, (1 + update) / (10 + update))) * (1.0 - expected)
    assert average.weights["G.0.weight"].item() == pytest.approx(expected, rel=1e-5)
    fill(net, 2.0)
    average.update()
    assert average.weights["G.0.weight"].item() == pytest.approx(expected + 0.1 * (2 - expected), rel=1e-5)


def test_averaged_weights_are_in_place_inside_only() -> None:
    net = filled(0.0)
    average = WeightAverage({"G": net}, decay=0.5)
    fill(net, 4.0)
    with average.in_place():
        assert net[0].weight.item() == 0.0  # type: ignore[operator, union-attr]
    assert net[0].weight.item() == 4.0  # type: ignore[operator, union-attr]
    with pytest.raises(KeyError), average.in_place():
        raise KeyError("an error inside")
    assert net[0].weight.item() == 4.0  # type: ignore[operator, union-attr]


def test_norm_statistics_are_copied_not_averaged() -> None:
    net = filled(0.0)
    average = WeightAverage({"G": net}, decay=0.99)
    net.train()(torch.full((2, 1, 2, 2), 7.0))
    average.update()
    assert torch.equal(average.weights["G.1.running_mean"], net[1].running_mean)  # type: ignore[arg-type]


def test_it_goes_on_after_a_resume() -> None:
    net = filled(1.0)
    first = WeightAverage({"G": net}, decay=0.99)
    for value in (2.0, 3.0):
        fill(net, value)
        first.update()
    other = filled(3.0)
    second = WeightAverage({"G": other}, decay=0.99)
    second.load_state_dict(first.state_dict())
    for average, module in ((first, net), (second, other)):
        fill(module, 5.0)
        average.update()
    assert first.weights["G.0.weight"] == second.weights["G.0.weight"]
    assert first.weights["G.0.weight"] is not second.weights["G.0.weight"]
