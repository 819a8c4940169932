"""Inpainting networks against what is published: counts, keys, and what they make of image and mask."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference.settings import InferenceOptions
from inference.tiling.runner import Runner
from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.aot_gan import AOTBlock
from models.networks.holes import UnitInpainter
from models.networks.initialise import init_weights
from models.networks.inpainting_discriminators import SNPatchDiscriminator
from models.networks.ranges import in_symmetric_range
from util.errors import UserError

FACTS = json.loads((pathlib.Path(__file__).parent / "published_inpainters.json").read_text())
NAMES = ("lama", "lama_big", "aot_gan", "deepfillv2", "gin")
each_network = pytest.mark.parametrize("name", NAMES)


def whole(player: str, name: str, **values: Any) -> nn.Module:
    """Return a network for RGB images."""
    registry = GENERATORS if player == "G" else DISCRIMINATORS
    return registry.get(name)(registry.options(name)(**values), *((4, 3) if player == "G" else (3,)))


def lively(name: str, **values: Any) -> Any:
    """Return a small generator whose output varies, with statistics as after a training."""
    options = GENERATORS.options(name).__dataclass_fields__
    small = {"ngf": 8, "n_blocks": 2, **values}
    network = whole("G", name, **{key: value for key, value in small.items() if key in options})
    random = torch.Generator().manual_seed(0)
    for key, value in network.state_dict().items():
        if value.ndim == 4 and not key.endswith("fuse_weight"):
            nn.init.kaiming_normal_(value, generator=random)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=random)
        elif key.endswith((".bias", "running_mean")):
            value.normal_(0, 0.1, generator=random)
    return network.eval()


def picture(height: int = 32, width: int = 48, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Return an image in [0,1] and a mask with a hole in every quarter, its border too."""
    image = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(batch, 1, height, width)
    mask[..., :5, :9] = mask[..., height // 2 :, width // 3 : width // 2] = mask[..., 9:12, -20:] = 1
    return image, mask


@pytest.mark.parametrize("entry", FACTS)
def test_keys_shapes_and_count_are_the_published_ones(entry: str) -> None:
    with torch.device("meta"):
        network = whole(*entry.split("|"))
    keys = sorted([key, list(value.shape)] for key, value in network.state_dict().items())
    assert sum(parameter.numel() for parameter in network.parameters()) == FACTS[entry]["parameters"]
    assert hashlib.sha256(json.dumps(keys).encode()).hexdigest() == FACTS[entry]["sha256"]


@each_network
@torch.no_grad()
def test_what_lies_in_the_holes_is_never_read(name: str) -> None:
    network, (image, mask) = lively(name), picture()
    expected = network(torch.cat([image, mask], 1))
    assert expected.std() > 1e-3
    for rubbish in (7.0, float("nan")):
        spoilt = torch.where(mask > 0, torch.full_like(image, rubbish), image)
        assert torch.equal(network(torch.cat([spoilt, mask], 1)), expected)
    elsewhere = torch.where(mask > 0, image, 1 - image)
    assert not torch.allclose(network(torch.cat([elsewhere, mask], 1)) * mask, expected * mask, atol=1e-4)


@each_network
@torch.no_grad()
def test_the_mask_is_0_or_1_in_both_ranges_of_images(name: str) -> None:
    network, (image, mask) = lively(name), picture()
    if not isinstance(network, UnitInpainter):
        assert in_symmetric_range(network) is network
        return
    expected = 2 * network(torch.cat([image, mask], 1)) - 1
    adapted = in_symmetric_range(network)
    torch.testing.assert_close(adapted(torch.cat([2 * image - 1, mask], 1)), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ("deepfillv2", "gin"))
@torch.no_grad()
def test_all_passes_end_with_the_result(name: str) -> None:
    network, x = lively(name), torch.cat(picture(batch=2), 1)
    *earlier, last = network.passes(x)
    assert network.coarse_to_fine and torch.equal(network(x), last)
    assert earlier and all(image.shape == last.shape and not torch.equal(image, last) for image in earlier)


@each_network
def test_images_without_a_mask_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="--input_nc 3 must be one more than --output_nc 3"):
        GENERATORS.get(name)(GENERATORS.options(name)(ngf=2), 3, 3)


@each_network
def test_no_tiles_where_every_pixel_depends_on_all_others(name: str) -> None:
    network = lively(name, ngf=2)
    runner = Runner(torch.device("cpu"), InferenceOptions(tile_size=64, max_memory="1MB"))
    with pytest.raises(UserError, match=r"2048x2048 pixels need about .* cannot be cut into tiles"):
        runner.plan(network, 4, 2048, 2048)


def test_an_aot_block_mixes_by_a_gate_of_fixed_mean_and_spread() -> None:
    block = AOTBlock(8, (1, 3)).double()
    x = torch.randn(2, 8, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = block.state_dict()

    def conv(name: str, x: Tensor, reach: int = 1) -> Tensor:
        wide = F.pad(x, (reach,) * 4, mode="reflect")
        return F.conv2d(wide, state[f"{name}.1.weight"], state[f"{name}.1.bias"], dilation=reach)

    seen = torch.cat([conv("block00", x).relu(), conv("block01", x, 3).relu()], 1)
    gate = conv("gate", x).flatten(2)
    deviation = ((gate - gate.mean(2, keepdim=True)).square().sum(2, keepdim=True) / (9 * 7 - 1)).sqrt() + 1e-9
    share = torch.sigmoid(5 * (2 * (gate - gate.mean(2, keepdim=True)) / deviation - 1)).view_as(x)
    torch.testing.assert_close(block(x), x * (1 - share) + conv("fuse", seen) * share)


def test_aot_gan_is_shown_white_holes_and_takes_small_images() -> None:
    network, (image, mask) = lively("aot_gan"), picture(12, 16)
    seen = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    assert network(torch.cat([image, mask], 1)).isfinite().all()
    assert torch.equal(seen[0], torch.cat([image * (1 - mask) + mask, mask], 1))
    narrow = whole("G", "aot_gan", ngf=1, n_blocks=1, aot_rates=(1, 2, 3, 4, 5))
    assert narrow(torch.cat([image, mask], 1)).shape == image.shape, "more rates than channels"


@torch.no_grad()
@pytest.mark.parametrize("name", ["aot_gan", "deepfillv2", "gin"])
def test_the_first_image_shows_the_input_without_drowning_it(name: str) -> None:
    """Weights too small give one colour whatever comes in, from which short trainings do not get away."""
    network = init_weights(whole("G", name, ngf=16), "published", generator=torch.Generator().manual_seed(0)).eval()
    (image, mask), other = picture(64, 64), picture(64, 64)[0].flip(-1)
    first, second = (network(torch.cat([x, mask], 1)) for x in (image, other))
    hole = mask.expand_as(image) > 0
    assert 1e-3 < (first - second)[hole].abs().mean() < 0.7


@torch.no_grad()
def test_gin_adds_what_its_small_image_misses() -> None:
    network, (image, mask) = lively("gin"), picture()
    known = image * (1 - mask) + mask
    coarse, small, result = network.published_passes(torch.cat([known, mask], 1))
    filled = coarse * mask + known * (1 - mask)
    large, own_small, share = network._fine_pass(torch.cat([filled, mask], 1))
    large = large * mask + known * (1 - mask)
    half = {"mode": "bilinear", "align_corners": True}
    missing = own_small - F.interpolate(large, size=(8, 12), **half)
    torch.testing.assert_close(result, large + F.interpolate(missing, size=(32, 48), **half) * share)
    torch.testing.assert_close(small, F.interpolate(own_small, size=(32, 48), **half))


def test_sn_patchgan_gives_every_patch_as_many_logits_as_channels() -> None:
    network = SNPatchDiscriminator(4, 2)
    (output,) = network(torch.rand(1, 4, 128, 192))
    assert output.logits.shape == (1, 8, 2, 3)
    assert [feature.shape[1] for feature in output.features] == [2, 4, 8, 8, 8]
