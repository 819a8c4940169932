"""Keys, shapes and counts of the published networks; the facts file holds a hash of each sorted key list."""

from __future__ import annotations

import hashlib
import json
import pathlib

import pytest
import torch
from torch import nn

from models.networks import DISCRIMINATORS, GENERATORS

FACTS = json.loads((pathlib.Path(__file__).parent / "state_dict_facts.json").read_text())


def digest(network: nn.Module) -> str:
    keys = sorted([key, list(value.shape)] for key, value in network.state_dict().items())
    return hashlib.sha256(json.dumps(keys).encode()).hexdigest()


def build(entry: str) -> nn.Module:
    player, name, *facts = entry.split("|")
    if name == "srgan":
        options = GENERATORS.options(name)(norm="batch", scale=4, n_blocks=5)
        return GENERATORS.get(name)(options, 3, 3)
    if player == "G":
        norm, dropout, input_nc, output_nc = facts
        options = GENERATORS.options(name)(norm=norm, no_dropout=dropout == "nodropout")
        return GENERATORS.get(name)(options, int(input_nc), int(output_nc))
    layers, norm, input_nc = facts
    extra = {"n_layers_D": int(layers)} if name == "n_layers" else {}
    return DISCRIMINATORS.get(name)(DISCRIMINATORS.options(name)(norm=norm, **extra), int(input_nc))


@pytest.mark.parametrize("entry", FACTS)
def test_keys_shapes_and_count_are_the_published_ones(entry: str) -> None:
    with torch.device("meta"):
        network = build(entry)
    assert sum(parameter.numel() for parameter in network.parameters()) == FACTS[entry]["parameters"]
    assert digest(network) == FACTS[entry]["sha256"]


def test_srresnet_x4_with_batch_norm_has_the_published_count() -> None:
    with torch.device("meta"):
        network = GENERATORS.get("srresnet")(GENERATORS.options("srresnet")(norm="batch", scale=4), 3, 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_549_462
