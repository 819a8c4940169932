"""The benchmark of training steps runs both loops and tells what it measured."""

from __future__ import annotations

import torch

from benchmarks import textbook_training
from benchmarks.training import Work, measure, rows
from models.networks.dropout import Dropout
from models.networks.norms import InstanceNorm2d

CYCLE = Work(textbook_training.cycle_gan, "resnet_6blocks", ("--model", "cycle_gan"), batch=1, size=32)


def test_both_loops_take_their_turns() -> None:
    found = measure(CYCLE, torch.device("cpu"), rounds=2, steps=1, words=["--precision", "fp32", "--ngf", "64"])
    assert [len(times) for times in found["times"].values()] == [2, 2]
    assert found["ratio"] > 0 and found["flops"] > 10**9
    table = rows("cycle_gan", found, {"textbook": 1e12, "ours": 1e12})
    assert [line[1] for line in table] == ["textbook", "ours"]
    assert table[0][-1] == "1x" and table[1][-1] == f"{found['ratio']:.2f}x"


def test_the_yardstick_has_none_of_our_layers() -> None:
    import a2b

    network = textbook_training.plain(a2b.build_generator("resnet_6blocks", ngf=4, norm="instance"))
    assert not any(isinstance(module, InstanceNorm2d | Dropout) for module in network.modules())
    assert sum(isinstance(module, torch.nn.InstanceNorm2d) for module in network.modules()) == 17
