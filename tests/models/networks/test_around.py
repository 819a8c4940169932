"""What is put around generators: the identity before training, the same keys, a smaller image, exact tiles."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference.tiling.layered import LayeredRun
from inference.tiling.local import assemble, margin_for, run_local
from inference.tiling.sources import TensorSource
from models.networks import GENERATORS
from models.networks.around import Around
from models.networks.initialise import init_weights
from models.networks.ranges import in_symmetric_range
from models.networks.stages import run_stages
from tests.models.networks.small import BUILT, SMALL
from util.errors import UserError

FOR_HOLES = {"aot_gan", "deepfillv2", "gin", "lama", "lama_big"}  # they take the hole as a channel


def build(name: str, input_nc: int = 3, **values: object) -> nn.Module:
    options = GENERATORS.options(name)
    known = {field.name for field in dataclasses.fields(options)}
    chosen = options(**{key: value for key, value in {**SMALL, **values}.items() if key in known})
    network = GENERATORS.get(name)(chosen, input_nc, 3)
    init_weights(network, init_gain=0.2, generator=torch.Generator().manual_seed(0))
    return in_symmetric_range(network).eval()


def picture(height: int, width: int, channels: int = 3) -> Tensor:
    coarse = torch.rand(1, channels, 6, 8, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, (height, width), mode="bicubic") * 2 - 1


@pytest.mark.parametrize("name", [name for name in BUILT if name not in FOR_HOLES | {"diffusion"}])  # which samples
@torch.no_grad()
def test_a_residual_begins_as_the_input_whatever_the_network(name: str) -> None:
    network = build(name)
    side = -(-32 // network.size_multiple) * network.size_multiple  # type: ignore[operator]
    image = picture(side, side)
    if network.scale != 1:
        with pytest.raises(UserError, match="enlarges"):
            Around(network, (3, 3), residual=True)
        return
    try:
        around = Around(network, (3, 3), residual=True).eval()
    except UserError as error:
        assert "by itself" in str(error)
        return
    torch.testing.assert_close(around(image.clone()), image, atol=1e-5, rtol=0)


def test_networks_that_add_their_input_are_told_apart() -> None:
    with pytest.raises(UserError, match="NAFNet adds its input"):
        Around(build("nafnet"), (3, 3), residual=True)
    Around(build("nafnet", 7), (7, 3), image_nc=3, residual=True)  # with other channels it does not


@torch.no_grad()
def test_a_smaller_image_is_translated_and_its_change_enlarged() -> None:
    network = build("resnet_6blocks", norm="none")
    around = Around(network, (3, 3), work_scale=4).eval()
    image = picture(48, 64)
    small = F.avg_pool2d(image, 4)
    change = F.interpolate(network(small) - small, scale_factor=4, mode="bilinear")
    assert torch.equal(around(image), image + change) and around.size_multiple == 16
    detail = torch.zeros_like(image)
    detail[..., ::2] += 0.1
    detail[..., 1::2] -= 0.1
    torch.testing.assert_close(around(image + detail), around(image) + detail, atol=2e-3, rtol=0)


@pytest.mark.parametrize("norm", ["none", "instance"])
@pytest.mark.parametrize(("residual", "work_scale"), [(True, 1), (False, 3), (True, 2)])
@pytest.mark.parametrize("name", ["resnet_6blocks", "resunet"])
@torch.no_grad()
def test_tiles_are_the_whole_image(name: str, residual: bool, work_scale: int, norm: str) -> None:
    network = build(name, 5, norm=norm)
    around: Any = Around(network, (5, 3), image_nc=3, residual=residual, work_scale=work_scale).eval()
    for parameter in around.parameters():  # a residual that says something
        if parameter.ndim == 4 and not parameter.any():
            nn.init.normal_(parameter, 0, 0.02, generator=torch.Generator().manual_seed(0))
    multiple = around.size_multiple
    image = picture(4 * multiple, 5 * multiple, 5)
    whole = around(image.clone())
    assert (whole - image[:, :3]).abs().max() > 0.01
    torch.testing.assert_close(run_stages(around.stages(), image.clone()), whole, atol=1e-5, rtol=1e-5)
    if norm == "instance":
        tiles = LayeredRun(around.stages(), TensorSource(image), multiple, multiple, device=image.device).tiles()
    else:
        margin = margin_for(around.receptive_field, multiple)
        tiles = run_local(around, TensorSource(image), multiple, margin)
    torch.testing.assert_close(assemble(tiles, *whole.shape[-2:]), whole, atol=2e-3, rtol=0)


def test_the_keys_are_the_networks_own() -> None:
    network = build("resnet_6blocks")
    around = Around(copy.deepcopy(network), (3, 3), work_scale=2)
    assert list(around.state_dict()) == list(network.state_dict())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    around.load_state_dict(network.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(around.parameters(), network.parameters(), strict=True))


def test_other_channels_than_the_inputs_have_no_residual() -> None:
    with pytest.raises(UserError, match="--work_scale 2 adds to the input, which has 1 channels and the output 3"):
        Around(build("resnet_6blocks", 1), (1, 3), work_scale=2)
