"""--prune_from: what is cut did nothing, what is left is loaded again, and what cannot be cut is said."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import a2b
from commands.costs import format_costs, measure_costs
from training.pruning import most_important
from util.errors import UserError

pytest.importorskip("torch_pruning")
LAYERS = (nn.Conv2d, nn.ConvTranspose2d)


def silence(network: nn.Module, share: float) -> None:
    """Set the last channels of every layer but the last one to zero."""
    layers = [layer for layer in network.modules() if isinstance(layer, LAYERS)]
    layers[0].weight.data *= 100  # a filter of one channel would count little beside those that follow
    for layer in layers:
        weight = layer.weight if isinstance(layer, nn.Conv2d) else layer.weight.transpose(0, 1)
        if weight.shape[0] % 4 == 0:
            kept = round(weight.shape[0] * share)
            weight.data[kept:] = 0
            if layer.bias is not None:
                layer.bias.data[kept:] = 0


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("resnet_6blocks", {"norm": "batch", "upsample": "resize"}),
        *(("unet", {"num_downs": 3}), ("resunet", {"res_levels": 1}), ("autoencoder_conv", {})),
    ],
)
def test_channels_that_do_nothing_are_cut_and_the_results_stay(name: str, more: dict[str, object]) -> None:
    wide, narrow = (a2b.build_generator(name, ngf=ngf, input_nc=1, output_nc=1, **more).eval() for ngf in (8, 6))
    silence(wide, 0.75)
    before = {key: value.clone() for key, value in wide.state_dict().items()}
    narrow.load_state_dict(most_important(wide, narrow, side=16))
    image = torch.rand(1, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(wide(image), narrow(image), atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in wide.state_dict().items()), "the run stays as it is"


def test_the_important_channels_are_kept() -> None:
    wide, narrow = (a2b.build_generator("resnet_6blocks", ngf=ngf) for ngf in (8, 6))
    first = next(layer for layer in wide.modules() if isinstance(layer, nn.Conv2d))
    following = [layer for layer in wide.modules() if isinstance(layer, nn.Conv2d)][1]
    first.weight.data[2:4] *= 1e-3
    following.weight.data[:, 2:4] *= 1e-3
    state = most_important(wide, narrow, side=16)
    assert torch.equal(next(iter(state.values())), first.weight.data[[0, 1, 4, 5, 6, 7]])


@pytest.mark.parametrize(
    ("wide", "narrow", "message"),
    [
        (("resnet_6blocks", 4), ("resnet_6blocks", 8), "that run is narrower than this one"),
        (("resnet_6blocks", 8), ("resnet_9blocks", 4), "that run has another architecture"),
    ],
)
def test_what_cannot_be_cut_is_one_line(wide: tuple[str, int], narrow: tuple[str, int], message: str) -> None:
    networks = [a2b.build_generator(name, ngf=ngf) for name, ngf in (wide, narrow)]
    with pytest.raises(UserError, match=message):
        most_important(*networks)


def test_a_pruned_run_is_trained_and_tested_like_any_other(
    aligned: pathlib.Path,
    train: Callable[..., int],
    tiny: list[str],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = ["--dataroot", aligned, "--checkpoints_dir", tmp_path, "--max_steps", 1]
    words = ["--model", "template", *tiny, *place]
    assert train(*words, "--name", "large") == 0
    assert train(*words, "--name", "small", "--ngf", 2, "--prune_from", "large") == 0
    assert "--prune_from: G: " in capsys.readouterr().out
    model = a2b.load(tmp_path / "small")
    assert model(np.zeros((32, 32, 3), np.uint8)).shape == (32, 32, 3)
    (tmp_path / "large" / "export").mkdir()
    (tmp_path / "large" / "export" / "large_5_net_G_int8.onnx").write_bytes(b"of other weights")
    costs = measure_costs(["large", "small"], str(tmp_path), str(aligned), 2)
    large, small = (cost.candidate for cost in costs)
    assert small.parameters < large.parameters / 3 and small.megabytes < large.megabytes
    assert all(cost.quality["psnr"] > 3 and cost.times.processor > 0 for cost in costs)
    assert format_costs(costs).splitlines()[3].startswith(f"| small | {small.parameters:,} | ")
