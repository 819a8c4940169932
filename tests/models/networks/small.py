"""Small versions of the registered networks, for tests that go over all of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from models.networks import DISCRIMINATORS, GENERATORS

SMALL: dict[str, Any] = {
    **{"ngf": 4, "ndf": 4, "no_dropout": True, "n_blocks": 2, "growth": 2, "n_dense": 2, "n_convs": 2},
    **{"n_shrunk": 3, "n_mapping": 1, "naf_encoder": (1, 1), "naf_decoder": (1, 1)},
    **{"res_levels": 2, "ae_patch": 4, "ae_widths": (24, 12), "ae_halvings": 2, "encoder": "test_convnext"},
    **{"num_downs": 3, "num_D": 2, "n_layers_D": 2},
    **{"diffusion_widths": (1, 2), "diffusion_blocks": 1, "prediction": "image", "sampling_steps": 2},
}

#: "pretrained" is no network until it has a file
BUILT = [name for name in GENERATORS.names() if name != "pretrained"]


def has(player: str, name: str, option: str) -> bool:
    """Tell whether a generator ("G") or discriminator ("D") has an option."""
    registry = GENERATORS if player == "G" else DISCRIMINATORS
    return any(field.name == option for field in dataclasses.fields(registry.options(name)))


def small(player: str, name: str, **values: Any) -> nn.Module:
    """Return a registered network as built: a generator ("G") of 3 to 2 channels, a discriminator ("D") of 3."""
    registry = GENERATORS if player == "G" else DISCRIMINATORS
    options = registry.options(name)
    known = {field.name for field in dataclasses.fields(options)}
    chosen = options(**{key: value for key, value in {**SMALL, **values}.items() if key in known})
    return registry.get(name)(chosen, *((3, 2) if player == "G" else (3,)))
