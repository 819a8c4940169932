"""Networks for super-resolution against what is published: counts, keys, and the forward written out by hand."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.bicubic import Bicubic
from models.networks.holes import UnitInpainter
from models.networks.initialise import init_uniform
from models.networks.ranges import UnitRange, in_symmetric_range
from models.networks.unet_sn import SpectralConv2d
from tests.models.networks.small import BUILT, small

FACTS = json.loads((pathlib.Path(__file__).parent / "published_enlargers.json").read_text())
COUNTS = [
    *(("srcnn", 1, {"srcnn_kernels": "9-1-5"}, 8_129), ("srcnn", 1, {"srcnn_kernels": "9-5-5"}, 57_281)),
    *(("fsrcnn", 1, {"scale": 3}, 12_809), ("fsrcnn_s", 1, {"scale": 3}, 3_937 + 75 + 74)),
    *(("edsr_large", 3, {"scale": 2}, 40_729_603), ("edsr_large", 3, {"scale": 3}, 43_680_003)),
    *(("rdtn", 3, {"scale": 4}, 889_923), ("nafnet", 3, {}, 17_111_907)),
]


def on_meta(player: str, name: str, channels: int, **values: Any) -> nn.Module:
    """Return a network of full size without memory for its weights."""
    registry = GENERATORS if player == "G" else DISCRIMINATORS
    with torch.device("meta"):
        return registry.get(name)(registry.options(name)(**values), *[channels] * (2 if player == "G" else 1))


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("entry", FACTS)
def test_keys_shapes_and_count_are_the_published_ones(entry: str) -> None:
    player, name, channels, words = entry.split("|")
    pairs = (word.split("=") for word in words.split(",") if word)
    network = on_meta(player, name, int(channels), **{k: int(v) if v.isdigit() else v for k, v in pairs})
    keys = sorted([key, list(value.shape)] for key, value in network.state_dict().items())
    assert count(network) == FACTS[entry]["parameters"]
    assert hashlib.sha256(json.dumps(keys).encode()).hexdigest() == FACTS[entry]["sha256"]


@pytest.mark.parametrize(("name", "channels", "values", "parameters"), COUNTS)
def test_parameters_are_as_many_as_reported(name: str, channels: int, values: Any, parameters: int) -> None:
    assert count(on_meta("G", name, channels, **values)) == parameters


def test_srgans_discriminator_has_the_published_count() -> None:
    assert count(on_meta("D", "srgan", 3, norm="batch")) == 23_565_505


class Weights:
    """Convolutions by the names of a state dict, for forwards written out by hand."""

    def __init__(self, network: nn.Module) -> None:
        init_uniform(network.modules(), torch.Generator().manual_seed(0))
        self.state = network.state_dict()

    def conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def prelu(self, name: str, x: Tensor) -> Tensor:
        return F.prelu(x, self.state[f"{name}.weight"])


def picture(channels: int = 3) -> Tensor:
    return torch.rand(2, channels, 9, 12, generator=torch.Generator().manual_seed(1))


def raw(name: str, channels: int = 3, **values: Any) -> Any:
    options = GENERATORS.options(name)
    return GENERATORS.get(name)(options(ngf=8, **values), channels, channels).eval()


def same(network: nn.Module, found: Tensor, channels: int = 3) -> None:
    with torch.no_grad():
        expected = network(picture(channels))
    assert expected.std() > 1e-4
    torch.testing.assert_close(expected, found, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "weight", "scale"), [("edsr", 1.0, 2), ("edsr", 1.0, 4), ("edsr_large", 0.1, 3)])
def test_edsr_subtracts_a_mean_in_levels_and_weighs_its_residuals(name: str, weight: float, scale: int) -> None:
    network = raw(name, n_blocks=2, scale=scale)
    w, mean = Weights(network), torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    first = w.conv("conv_first", (picture() - mean) * 255)
    y = first
    for i in range(2):
        y = y + weight * w.conv(f"body.{i}.conv2", w.conv(f"body.{i}.conv1", y).relu())
    y = first + w.conv("conv_after_body", y)
    for place, step in {2: ((0, 2),), 3: ((0, 3),), 4: ((0, 2), (2, 2))}[scale]:
        y = F.pixel_shuffle(w.conv(f"upsample.{place}", y), step)
    same(network, w.conv("conv_last", y) / 255 + mean)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_msrresnet_adds_to_a_bilinear_enlargement(scale: int) -> None:
    network, x = raw("msrresnet", n_blocks=2, scale=scale), picture()
    w = Weights(network)
    y = F.leaky_relu(w.conv("conv_first", x), 0.1)
    for i in range(2):
        y = y + w.conv(f"body.{i}.conv2", w.conv(f"body.{i}.conv1", y).relu())
    for number, step in {2: ((1, 2),), 3: ((1, 3),), 4: ((1, 2), (2, 2))}[scale]:
        y = F.leaky_relu(F.pixel_shuffle(w.conv(f"upconv{number}", y), step), 0.1)
    y = w.conv("conv_last", F.leaky_relu(w.conv("conv_hr", y), 0.1))
    same(network, y + F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False))


def test_rdn_fuses_what_all_its_blocks_gave() -> None:
    network = raw("rdn", n_blocks=2, n_dense=3, growth=4, scale=2)
    w = Weights(network)
    shallow = w.conv("sfe1", picture())
    y, kept = w.conv("sfe2", shallow), []
    for i in range(2):
        dense = y
        for j in range(3):
            dense = torch.cat([dense, w.conv(f"rdbs.{i}.layers.{j}.conv", dense).relu()], 1)
        y = y + w.conv(f"rdbs.{i}.lff", dense)
        kept.append(y)
    y = w.conv("gff.1", w.conv("gff.0", torch.cat(kept, 1))) + shallow
    same(network, w.conv("output", F.pixel_shuffle(w.conv("upscale.0", y), 2)))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fsrcnn_enlarges_by_its_last_layer(scale: int) -> None:
    network = raw("fsrcnn", 1, n_shrunk=4, n_mapping=2, scale=scale)
    w = Weights(network)
    y = w.prelu("first_part.1", w.conv("first_part.0", picture(1)))
    for i in range(0, 8, 2):
        y = w.prelu(f"mid_part.{i + 1}", w.conv(f"mid_part.{i}", y))
    last = {"stride": scale, "padding": 4, "output_padding": scale - 1}
    same(network, F.conv_transpose2d(y, w.state["last_part.weight"], w.state["last_part.bias"], **last), 1)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_srgans_generator_takes_and_gives_values_from_0_to_1(scale: int) -> None:
    network = raw("srresnet", n_blocks=2, scale=scale, norm="none")
    w = Weights(network)
    first = w.prelu("block1.1", w.conv("block1.0", picture()))
    y = first
    for i in (2, 3):
        y = y + w.conv(f"block{i}.conv2", w.prelu(f"block{i}.prelu", w.conv(f"block{i}.conv1", y)))
    y, doublings = first + w.conv("block4.0", y), scale.bit_length() - 1
    for i in range(doublings):
        y = w.prelu(f"block5.{i}.prelu", F.pixel_shuffle(w.conv(f"block5.{i}.conv", y), 2))
    same(network, (w.conv(f"block5.{doublings}", y).tanh() + 1) / 2)


def test_srcnn_works_on_the_bicubic_enlargement_with_replicated_borders() -> None:
    network = raw("srcnn", 1, scale=3, srcnn_kernels="9-3-5")
    state, y = Weights(network).state, Bicubic(3)(picture(1))
    for name, reach in (("conv1", 4), ("conv2", 1), ("conv3", 2)):
        wide = F.pad(y, (reach,) * 4, mode="replicate")
        y = F.conv2d(wide, state[f"{name}.weight"], state[f"{name}.bias"])
        y = y if name == "conv3" else y.relu()
    same(network, y, 1)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_bicubic_layer_is_the_reference_inside_and_mirrors_at_the_border(scale: int) -> None:
    x = picture().double()
    large = Bicubic(scale).double()(x)
    reference = F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True)  # Keys with a = -0.5, as Pillow
    inside = (..., slice(2 * scale, -2 * scale), slice(2 * scale, -2 * scale))
    torch.testing.assert_close(large[inside], reference[inside], atol=1e-6, rtol=0)
    mirrored = torch.cat([x.flip(-1), x, x.flip(-1)], -1)
    wide = Bicubic(scale).double()(mirrored)[..., 12 * scale : 24 * scale]
    torch.testing.assert_close(large, wide, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", BUILT)
@torch.no_grad()
def test_the_same_weights_serve_both_ranges(name: str) -> None:
    network: Any = small("G", name, **({"scale": 2} if name != "nafnet" else {})).eval()
    if not isinstance(network, UnitRange):
        assert in_symmetric_range(network) is network
        return
    if isinstance(network, UnitInpainter):
        pytest.skip("half of what it is given is a mask, which no range changes: see test_inpainters.py")
    keys, x = list(network.state_dict()), picture()[..., :8, :]
    expected = 2 * network(x) - 1
    assert in_symmetric_range(network).value_range == (-1.0, 1.0) and list(network.state_dict()) == keys
    torch.testing.assert_close(network(2 * x - 1), expected, atol=1e-5, rtol=1e-5)


def test_a_network_of_another_range_without_the_adapter_is_a_mistake() -> None:
    network = nn.Identity()
    network.value_range = (0.0, 255.0)  # type: ignore[assignment]
    with pytest.raises(TypeError, match="derive from UnitRange"):
        in_symmetric_range(network)


def test_spectral_norm_is_that_of_pytorch() -> None:
    ours = SpectralConv2d(3, 4, 3)
    theirs = torch.nn.utils.spectral_norm(nn.Conv2d(3, 4, 3, padding=1, bias=False))
    theirs.load_state_dict(ours.state_dict())
    x = picture()
    for _ in range(3):
        torch.testing.assert_close(ours(x), theirs(x))
    (one,) = torch.autograd.grad(ours(x).square().sum(), ours.weight_orig)
    (other,) = torch.autograd.grad(theirs(x).square().sum(), theirs.weight_orig)
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(ours.weight_u, theirs.weight_u)
    singular = torch.linalg.svdvals(ours.weight_orig.flatten(1))[0]
    for _ in range(50):
        ours(x)
    sigma = torch.dot(ours.weight_u, ours.weight_orig.flatten(1) @ ours.weight_v)
    torch.testing.assert_close(sigma, singular, rtol=1e-3, atol=0)
