"""Networks for super-resolution are known by their keys, and give the same here and in spandrel."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from models.networks import GENERATORS
from models.networks.foreign import generator_from_state, infer_generator, infer_generator_file, load_weights
from models.networks.initialise import init_uniform
from tests.models.networks.small import BUILT, has, small
from util.errors import UserError

spandrel = pytest.importorskip("spandrel")
WEIGHTS = pathlib.Path(__file__).resolve().parents[4] / "shared/data/weights"
ENLARGERS = [name for name in BUILT if has("G", name, "scale") and name not in ("srresnet", "srgan")]


def filled(name: str, channels: tuple[int, int] = (3, 3), **values: Any) -> nn.Module:
    """Return a small generator with weights that matter, also where the published ones begin at zero."""
    options = GENERATORS.options(name)
    small_ones = {"ngf": 8, "n_blocks": 2, "growth": 4, "n_convs": 3, "n_dense": 3, "n_shrunk": 5, "n_mapping": 2}
    small_ones |= {"naf_encoder": (1, 2), "naf_decoder": (2, 1), "naf_middle": 2}
    known = options.__dataclass_fields__
    network = GENERATORS.get(name)(options(**{k: v for k, v in (small_ones | values).items() if k in known}), *channels)
    random = torch.Generator().manual_seed(0)
    init_uniform(network.modules(), random)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, 0.0, 0.5, generator=random)
    return network.eval()


def picture(channels: int = 3, height: int = 16, width: int = 20) -> Tensor:
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("name", [name for name in ENLARGERS if name not in ("srcnn", "fsrcnn", "fsrcnn_s")])
def test_state_dicts_tell_all_that_the_network_is(name: str, scale: int) -> None:
    width = {"ngf": 256, "n_blocks": 1} if name == "edsr_large" else {}
    try:
        network = filled(name, (1, 1), scale=scale, **width)
    except UserError:
        pytest.skip("not a scale of this network")
    found = generator_from_state(network.state_dict())
    assert infer_generator(network.state_dict())[0] == name
    assert found.scale == scale
    with torch.no_grad():
        assert torch.equal(found.eval()(picture(1)), network(picture(1)))


@pytest.mark.parametrize(("name", "values"), [("srcnn", {"srcnn_kernels": "9-5-5"}), ("fsrcnn", {})])
def test_a_scale_that_weights_do_not_tell_is_read_off_the_name(name: str, values: Any, tmp_path: pathlib.Path) -> None:
    network = filled(name, (1, 1), scale=3, **values)
    torch.save(network.state_dict(), tmp_path / "small_x3.pth")
    found, options, *channels = infer_generator_file(tmp_path / "small_x3.pth")
    assert (found, options["scale"], channels) == (name, 3, [1, 1])
    again = GENERATORS.get(found)(GENERATORS.options(found)(**options), *channels)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(picture(1)), network(picture(1)))
    torch.save(network.state_dict(), tmp_path / "box3.pth")
    with pytest.raises(UserError, match=f"the weights of {name} do not tell the scale"):
        infer_generator_file(tmp_path / "box3.pth")


def test_a_small_nafnet_is_known_by_its_levels() -> None:
    network = filled("nafnet")
    name, values, *channels = infer_generator(network.state_dict())
    assert (name, channels) == ("nafnet", [3, 3])
    assert values == {"ngf": 8, "naf_encoder": (1, 2), "naf_middle": 2, "naf_decoder": (2, 1)}


@pytest.mark.parametrize(
    ("name", "values"),
    [*(("rrdb", {"scale": s}) for s in (1, 2, 4)), *(("compact", {"scale": s}) for s in (1, 2, 3, 4)), ("nafnet", {})],
)
@torch.no_grad()
def test_spandrel_opens_our_files_and_computes_the_same(name: str, values: Any, tmp_path: pathlib.Path) -> None:
    network: Any = filled(name, **values, growth=32)  # spandrel knows RRDBs of this growth alone
    torch.save(network.state_dict(), tmp_path / "ours.pth")
    theirs = spandrel.ModelLoader().load_from_file(tmp_path / "ours.pth")
    assert theirs.scale == network.scale
    x = picture(3, 16, 20) if name != "nafnet" else picture(3, 15, 22)  # it pads by itself
    expected = theirs.model.eval()(x)
    assert expected.std() > 1e-3, "a flat result would hide an error"
    assert (network(x) - expected).abs().max() < 1e-5


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the shared weights are not here")
@pytest.mark.parametrize(
    ("file", "name"),
    [("realesrgan_x4plus_anime_RRDBNet6b_fp16", "rrdb"), ("realesr_animevideov3_x4_SRVGG_fp16", "compact")],
)
@torch.no_grad()
def test_published_weights_give_what_spandrel_gives(file: str, name: str) -> None:
    path = WEIGHTS / f"{file}.safetensors"
    assert infer_generator_file(path)[0] == name
    network = generator_from_state(load_weights(path)).float().eval()
    theirs = spandrel.ModelLoader().load_from_state_dict(
        {key: value.float() for key, value in safetensors.torch.load_file(path).items()}
    )
    x = picture(3, 12, 12)
    assert (network(x) - theirs.model.eval()(x)).abs().max() < 1e-5


def test_tests_of_all_enlargers_go_over_more_than_a_few() -> None:
    assert {"srcnn", "edsr", "rdn", "rdtn", "rrdb", "compact"} <= set(ENLARGERS)
    assert small("G", "rrdb", scale=2).size_multiple == 2
