"""The baselines without skips: what a linear one cannot see, and how many numbers a patch becomes."""

from __future__ import annotations

import torch

from models.networks import GENERATORS


def build(name: str, **values: object) -> torch.nn.Module:
    return GENERATORS.get(name)(GENERATORS.options(name)(**values), 3, 2)


def test_a_linear_auto_encoder_sees_each_patch_apart() -> None:
    network = build("autoencoder_linear", ae_patch=8, ae_widths=(20, 5))
    x = torch.rand(1, 3, 16, 24)
    other = x.clone()
    other[..., 8:] = 0
    changed = (network(x) - network(other)).abs().amax((0, 1, 2))
    assert changed[:8].max() == 0 < changed[8:].min()


def test_a_patch_goes_through_the_narrowest_layer() -> None:
    network = build("autoencoder_linear", ae_patch=8, ae_widths=(20, 5))
    narrow = [layer.out_channels for layer in network.model if isinstance(layer, torch.nn.Conv2d)]
    assert narrow == [20, 5, 20]
    jacobian = torch.autograd.functional.jacobian(network.model[:-1].double(), torch.rand(1, 3, 8, 8).double())
    assert torch.linalg.matrix_rank(jacobian.reshape(2 * 64, 3 * 64), rtol=1e-9) <= 5


def test_a_convolutional_one_has_no_way_around_its_narrowest_map() -> None:
    network = build("autoencoder_conv", ngf=2, ae_halvings=2, norm="none")
    shapes: list[torch.Size] = []
    for layer in network.model:
        layer.register_forward_hook(lambda _, __, output: shapes.append(output.shape))
    network(torch.rand(1, 3, 16, 16))
    assert min(shape[2] for shape in shapes) == 4
    assert shapes[-1] == (1, 2, 16, 16)
