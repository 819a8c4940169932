"""Tiles give what the whole image gives: the error is measured against that, not at the seams."""

from __future__ import annotations

import dataclasses
import pathlib
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inference.tiling.boxes import Box
from inference.tiling.layered import LayeredRun, Store
from inference.tiling.local import assemble, margin_for, run_local
from inference.tiling.scratch import Scratch
from inference.tiling.sources import TensorSource
from inference.tiling.statistics import Affine
from models.networks import GENERATORS
from models.networks.initialise import init_weights
from util.errors import UserError

CPU = torch.device("cpu")
TILED = ("resnet_6blocks", "srresnet", "unet_128")  # the other names are these with other numbers of layers


def build(name: str, norm: str, scale: int = 1, ngf: int = 4) -> Any:
    """Return a small generator whose output uses its range without being saturated."""
    options = GENERATORS.options(name)
    known = {field.name for field in dataclasses.fields(options)}
    values = {k: v for k, v in {"ngf": ngf, "n_blocks": 2, "scale": scale, "norm": norm}.items() if k in known}
    network = GENERATORS.get(name)(options(**values), 3, 3)
    init_weights(network, init_gain=0.2, generator=torch.Generator().manual_seed(0))
    last = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)][-1]
    nn.init.normal_(last.weight, 0.0, 0.5 * last.weight[0].numel() ** -0.5)
    with torch.no_grad():
        for _ in range(8):  # batch norm learns statistics that suit the pictures
            network.train()(picture(128, 128))
    return network.eval()


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    """Return (1,3,H,W) of large and small structures, brighter to the right: tiles differ in their statistics."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 16, width // 16, generator=random)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    noise = torch.rand(1, 3, height, width, generator=random)
    return (smooth + 0.3 * noise + torch.linspace(0, 1, width)).clamp(0, 2) - 1


def levels(a: Tensor, b: Tensor) -> float:
    """Return the largest difference in levels of 255."""
    return float((a - b).abs().max()) * 127.5


@pytest.mark.parametrize("norm", ["instance", "batch_untracked"])
@pytest.mark.parametrize(("name", "scale"), [(name, 1) for name in TILED] + [("srresnet", 2)])
@torch.no_grad()
def test_layer_by_layer_is_the_whole_image(name: str, scale: int, norm: str, tmp_path: pathlib.Path) -> None:
    network = build(name, norm, scale)
    side = max(32, network.size_multiple)
    image = picture(2 * side, 3 * side)
    whole = network(image.clone())
    for precision, allowed in (("fp32", 0.01), ("fp16", 0.5)):
        run = LayeredRun(
            network.stages(), TensorSource(image), side, network.size_multiple,
            device=CPU, precision=precision, folder=tmp_path,
        )  # fmt: skip
        result = assemble(run.tiles(), *whole.shape[-2:])
        assert levels(result, whole) < allowed
    assert whole.std() > 0.1, "a flat result would hide an error"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@torch.no_grad()
def test_a_flat_image_stays_flat_in_tiles(precision: str) -> None:
    """Norms enlarge what rounding leaves of such an image, one after the other: nothing may be left."""
    network, image = build("resnet_6blocks", "instance"), torch.full((1, 3, 64, 64), 200 / 127.5 - 1)
    init_weights(network, generator=torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(1)
    for layer in network.modules():  # as after training: no store of float16 holds them exactly
        if getattr(layer, "bias", None) is not None:
            nn.init.normal_(layer.bias, 0.0, 0.1, generator=random)
    run = LayeredRun(network.stages(), TensorSource(image), 32, 4, device=CPU, precision=precision)
    assert levels(assemble(run.tiles(), 64, 64), network(image.clone())) < 0.01


@torch.no_grad()
def test_tiles_with_statistics_of_their_own_would_be_far_off() -> None:
    network = build("resnet_6blocks", "instance")
    image = picture(64, 96)
    tiles = run_local(network, TensorSource(image), 32, margin_for(network.receptive_field, 4))
    assert levels(assemble(tiles, 64, 96), network(image.clone())) > 5


@torch.no_grad()
def test_without_image_wide_norms_tiles_have_the_same_bits() -> None:
    network = build("resnet_6blocks", "batch", ngf=16)
    image = picture(96, 192)
    tiles = run_local(network, TensorSource(image), 32, margin_for(network.receptive_field, 4))
    assert torch.equal(assemble(tiles, 96, 192), network(image.clone()))


@pytest.mark.parametrize(("name", "scale"), [("unet_128", 1), ("srresnet", 1), ("srresnet", 2), ("srresnet", 4)])
@torch.no_grad()
def test_where_the_library_computes_other_sizes_in_another_order_the_last_bits_differ(name: str, scale: int) -> None:
    network = build(name, "batch", scale)
    multiple = network.size_multiple
    height, width, tile = max(64, multiple), max(80, 8 * multiple if multiple > 1 else 0), max(16, multiple)
    image = picture(height, width)
    margin = margin_for(network.receptive_field, multiple)
    run = run_local(network, TensorSource(image), tile, margin, scale=scale, batch=3)
    assert levels(assemble(run, height * scale, width * scale), network(image.clone())) < 1e-3


@torch.no_grad()
def test_a_margin_below_the_receptive_field_is_seen() -> None:
    network = build("srresnet", "none").double()
    image = picture(64, 80).double()
    error = [
        levels(assemble(run_local(network, TensorSource(image), 16, margin), 64, 80), network(image.clone()).float())
        for margin in (network.receptive_field, network.receptive_field - 8)
    ]
    assert error[0] < 1e-4 < error[1]


@torch.no_grad()
def test_scratch_files_vanish_and_a_value_too_large_for_them_is_named(tmp_path: pathlib.Path) -> None:
    network = build("resnet_6blocks", "instance")
    run = LayeredRun(network.stages(), TensorSource(picture(32, 32)), 16, 4, device=CPU, folder=tmp_path)
    for _ in run.tiles():
        break
    del run
    assert list(tmp_path.iterdir()) == []
    scratch, same = Scratch(4, 4, 1, "float16", None), Affine(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    store = Store(scratch, Fraction(1), (same, same))
    store.write(Box(0, 0, 4, 4), torch.full((1, 1, 4, 4), 6e4))
    with pytest.raises(UserError, match="--tile_scratch fp32"):
        store.write(Box(0, 0, 4, 4), torch.full((1, 1, 4, 4), 7e4))
