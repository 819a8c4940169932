"""What generators declare for tiling is measured: how far a pixel is seen, which sizes work, the layers as a list."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inference.tiling.layered import LayeredRun
from inference.tiling.local import assemble
from inference.tiling.sources import TensorSource
from models.networks.common import NORMS
from models.networks.initialise import init_weights
from models.networks.ranges import in_symmetric_range
from models.networks.stages import averages_over_the_image, image_wide_norms, run_stages
from tests.models.networks.small import BUILT, has, small

SCALES = (1, 2, 4)
#: see the image as a whole, and so have no receptive field
WHOLE = {"aot_gan", "deepfillv2", "diffusion", "gin", "lama", "lama_big", "nafnet", "timm_unet"}


def build(name: str, **values: object) -> nn.Module:
    """Return a small generator of 3 -> 2 channels."""
    network = small("G", name, **{"ngf": 2, **values})
    return init_weights(network, init_gain=0.3, generator=torch.Generator().manual_seed(0)).eval()


def variants() -> list[Any]:
    """Return every generator, in each of its enlargements."""
    found = []
    for name in BUILT:
        scales = SCALES if has("G", name, "scale") else (1,)
        found += [pytest.param(name, scale, id=f"{name}-x{scale}") for scale in scales]
    return found


def open_all_paths(network: nn.Module) -> nn.Module:
    """Make every weight positive, so that no path from an input pixel to an output pixel is switched off."""
    for parameter in network.parameters():
        value = 1.0 / parameter[0].numel() if parameter.ndim == 4 else 0.0
        nn.init.constant_(parameter, value)
    return network.double()


def extent(network: Any, column: int, height: int, width: int) -> tuple[float, float]:
    """Return how far to the left and right, in input pixels, the output answers to one column of the input."""
    # what a mean that is subtracted, or a kernel's negative lobes, make of black is stopped by ReLUs
    dark = 0.6 if hasattr(network, "source_mean") or hasattr(network, "bicubic") else 0.0
    x = torch.full((1, 3, height, width), dark, dtype=torch.float64)
    before = network(x.clone())
    x[..., column] = dark + 0.4
    moved = (network(x) - before).abs().sum((0, 1, 2)).nonzero()[:, 0]
    first, last = int(moved.min()), int(moved.max())
    return column - first // network.scale, last // network.scale - column


@pytest.mark.parametrize(("name", "scale"), variants())
@torch.no_grad()
def test_the_receptive_field_is_what_is_declared(name: str, scale: int) -> None:
    check_receptive_field(build(name, ngf=1, norm="none", scale=scale))


@pytest.mark.parametrize("kind", ("resize", "pixelshuffle"))
@pytest.mark.parametrize("name", ("unet", "resnet_6blocks"))
@torch.no_grad()
def test_other_ways_up_run_in_tiles_too(name: str, kind: str) -> None:
    check_receptive_field(build(name, ngf=1, norm="none", upsample=kind))
    network: Any = build(name, norm="instance", upsample=kind)
    x = torch.rand(1, 3, 16, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(run_stages(network.stages(), x.clone()), network(x.clone()))
    tiles = LayeredRun(network.stages(), TensorSource(x), 8, network.size_multiple, device=x.device).tiles()
    torch.testing.assert_close(assemble(tiles, 16, 32), network(x), rtol=1e-4, atol=1e-5)


def test_what_has_no_receptive_field_is_named() -> None:
    assert {name for name in BUILT if not hasattr(build(name, norm="none"), "receptive_field")} == WHOLE


def check_receptive_field(network: Any) -> None:
    network = open_all_paths(network)
    if not hasattr(network, "receptive_field"):
        pytest.skip("runs whole")
    multiple, reach = network.size_multiple, network.receptive_field
    width = -(-(2 * reach + 3 * multiple) // multiple) * multiple
    start = width // 2 // multiple * multiple
    columns = [start + i for i in sorted({0, 1, multiple // 2 - 1, multiple // 2, multiple - 1}) if i >= 0]
    measured = max(max(extent(network, column, max(multiple, 16), width)) for column in columns)
    assert measured <= reach, "a tile with this margin would differ from the whole image"
    assert reach <= measured + max(1, multiple // 8), "the margin is larger than it has to be"


@pytest.mark.parametrize(("name", "scale"), variants())
@torch.no_grad()
def test_sizes_that_divide_work_and_smaller_steps_do_not(name: str, scale: int) -> None:
    network: Any = build(name, norm="none", scale=scale)
    step = network.size_multiple
    for height, width in ((max(step, 8), 2 * max(step, 8)), (3 * max(step, 8), max(step, 8))):
        y = network(torch.zeros(1, 3, height, width))
        assert y.shape == (1, 2, height * scale, width * scale)
    if step > 1:
        assert not _keeps_size(network, torch.zeros(1, 3, 2 * step + 8 * step, 2 * step + step // 2))


def _keeps_size(network: Any, x: Tensor) -> bool:
    try:
        return network(x).shape[2:] == x.shape[2:]
    except RuntimeError:
        return False


def staged() -> list[Any]:
    """Return every generator that lists its layers, in each of its enlargements and norms."""
    norms = [p for p in variants() if has("G", p.values[0], "norm")]
    return [pytest.param(*p.values, norm, id=f"{p.id}-{norm}") for p in norms for norm in NORMS]


@pytest.mark.parametrize(("name", "scale", "norm"), staged())
@torch.no_grad()
def test_the_list_of_stages_is_the_network(name: str, scale: int, norm: str) -> None:
    network: Any = build(name, norm=norm, scale=scale)
    side = -(-12 // network.size_multiple) * network.size_multiple
    x = torch.rand(1, 3, side, 2 * side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(run_stages(network.stages(), x.clone()), network(x.clone()))
    in_symmetric_range(network)
    assert torch.equal(run_stages(network.stages(), x.clone()), network(x.clone()))


def test_which_norms_need_the_whole_image() -> None:
    batch, untracked = nn.BatchNorm2d(2), nn.BatchNorm2d(2, track_running_stats=False)
    assert averages_over_the_image(batch) and not averages_over_the_image(batch.eval())
    assert averages_over_the_image(untracked.eval()) and averages_over_the_image(nn.InstanceNorm2d(2))
    assert len(image_wide_norms(build("resnet_6blocks", norm="instance"))) == 17
    assert image_wide_norms(build("resnet_6blocks", norm="batch")) == []
