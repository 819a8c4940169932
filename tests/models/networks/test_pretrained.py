"""Weight files of others as generators: recognised, run in our range, trained further, and handed back."""

from __future__ import annotations

import copy
import pathlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.builder import Builder, Channels
from models.files import load_into, plain_state
from models.networks import GENERATORS
from models.networks.around import Around
from models.networks.initialise import init_uniform
from models.networks.lab import LabColorizer
from models.networks.pretrained import Pretrained, PretrainedOptions, load_pretrained
from tests.models.networks.small import small
from util.errors import UserError

spandrel = pytest.importorskip("spandrel")


def picture(height: int = 16, width: int = 20) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["ours", "theirs"])
def checkpoint(request: Any, tmp_path: pathlib.Path) -> tuple[pathlib.Path, nn.Module, int]:
    """Return a weight file, what it computes in [0,1], and its scale: of a network that a2b knows, and of another."""
    if request.param == "ours":
        options = GENERATORS.options("compact")(scale=2, ngf=8, n_convs=2)
        network, scale = GENERATORS.get("compact")(options, 3, 3), 2
    else:
        network, scale = spandrel.architectures.SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2), 2
    init_uniform(network.modules(), torch.Generator().manual_seed(0))
    torch.save(network.state_dict(), tmp_path / "known.pth")
    expected = spandrel.ModelLoader().load_from_file(tmp_path / "known.pth").model
    return tmp_path / "known.pth", expected.eval(), scale


def builder(path: pathlib.Path | None, scale: int) -> Builder:
    choice = GENERATORS.get("pretrained"), PretrainedOptions(scale=scale, init_from=str(path) if path else None)
    return Builder({"netG": choice}, Channels(3, 3))


@torch.no_grad()
def test_a_file_is_a_generator_in_either_range(checkpoint: Any) -> None:
    path, expected, scale = checkpoint
    x, network = picture(), load_pretrained(path).eval()
    assert (network.scale, network.known.input_nc, network.known.output_nc) == (scale, 3, 3)
    assert torch.equal(network(x), expected(x))
    adapted = copy.deepcopy(builder(path, scale).generator(3, 3).eval())
    torch.testing.assert_close(adapted(2 * x - 1), 2 * expected(x) - 1, atol=1e-5, rtol=0)


def test_it_learns_and_what_is_saved_opens_where_it_came_from(checkpoint: Any, tmp_path: pathlib.Path) -> None:
    path, _, scale = checkpoint
    network: Any = builder(path, scale).generator(3, 3).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    network(picture()).square().mean().backward()
    optimizer.step()
    torch.save(plain_state(network), tmp_path / "latest_net_G.pth")
    network.eval()
    with torch.no_grad():
        found = network(2 * picture() - 1)
        theirs = spandrel.ModelLoader().load_from_file(tmp_path / "latest_net_G.pth").model.eval()
        torch.testing.assert_close(found, 2 * theirs(picture()) - 1, atol=1e-5, rtol=0)
        waiting: Any = builder(None, scale).generator(3, 3)
        assert isinstance(waiting, Pretrained) and any(True for _ in waiting.parameters())
        load_into(waiting, tmp_path / "latest_net_G.pth")
        torch.testing.assert_close(waiting.eval()(2 * picture() - 1), found, atol=1e-5, rtol=0)
        inside = nn.ModuleDict({"G": waiting})
        inside.load_state_dict({key: torch.zeros_like(value) for key, value in inside.state_dict().items()})
        assert not any(parameter.any() for parameter in waiting.parameters())


def test_what_does_not_fit_is_refused_in_one_line(checkpoint: Any, tmp_path: pathlib.Path) -> None:
    path, _, scale = checkpoint
    with pytest.raises(UserError, match=f"--scale {scale + 1}: .*known.pth has {scale}; use --scale {scale}"):
        builder(path, scale + 1).generator(3, 3)
    with pytest.raises(UserError, match="--input_nc 1: .* use --input_nc 3"):
        builder(path, scale).generator(1, 3)
    torch.save({"mystery.weight": torch.zeros(3)}, tmp_path / "unknown.pth")
    with pytest.raises(UserError, match="unknown.pth: neither a2b nor spandrel knows"):
        load_pretrained(tmp_path / "unknown.pth")
    with pytest.raises(UserError, match="by --init_from"):
        builder(None, 2).generator(3, 3)(picture())


def test_a_network_of_ours_in_the_other_range_is_converted(tmp_path: pathlib.Path) -> None:
    network = small("G", "resnet_6blocks").eval()
    torch.save(network.state_dict(), tmp_path / "resnet.pth")
    found = load_pretrained(tmp_path / "resnet.pth").eval()
    x = picture()
    with torch.no_grad():
        torch.testing.assert_close(found(x), network(2 * x - 1) / 2 + 0.5, atol=1e-6, rtol=0)
    assert found.size_multiple == 4 and found.receptive_field == network.receptive_field


def waiting() -> Pretrained:
    network = Pretrained()
    network.adapt()
    return network


@pytest.mark.parametrize("around", [{"residual": True}, {"work_scale": 2}, {"work_scale": 2, "residual": True}])
def test_what_is_around_a_network_fits_it_when_its_weights_tell_it(around: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "latest_net_G.pth"
    torch.save(resnet(3, 3).state_dict(), file)
    first = load_pretrained(file)
    first.adapt()
    known, found = Around(first, (3, 3), **around).eval(), Around(waiting(), (3, 3), **around).eval()
    for network in (known, found):
        load_into(network, file)
    assert (found.size_multiple, found.receptive_field) == (known.size_multiple, known.receptive_field)
    assert found.size_multiple == 4 * found.work_scale
    assert torch.equal(found(picture(16, 24)), known(picture(16, 24)))


def test_colours_by_a_network_that_its_weights_tell(tmp_path: pathlib.Path) -> None:
    network = resnet(1, 2).eval()
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    found = LabColorizer(waiting()).eval()
    load_into(found, tmp_path / "latest_net_G.pth")
    assert found.size_multiple == 4
    torch.testing.assert_close(found.colours(picture(16, 24)), LabColorizer(network).colours(picture(16, 24)))


def resnet(input_nc: int, output_nc: int) -> nn.Module:
    return GENERATORS.get("resnet_6blocks")(GENERATORS.options("resnet_6blocks")(ngf=2), input_nc, output_nc)


def of_spandrel(network: nn.Module) -> tuple[Pretrained, Any]:
    """Return the network with some weights as a generator here, and as spandrel opens it."""
    init_uniform(network.modules(), torch.Generator().manual_seed(0))
    found = Pretrained()
    found.adopt(network.state_dict())
    return found.eval(), spandrel.ModelLoader().load_from_state_dict(network.state_dict()).eval()


def test_an_image_smaller_than_a_network_takes_is_padded_as_spandrel_does() -> None:
    needy, expected = of_spandrel(spandrel.architectures.SCUNet.SCUNet(config=[1] * 7, dim=64))
    for height, width in ((30, 41), (48, 41)):
        assert torch.equal(needy(picture(height, width)).clamp(0, 1), expected(picture(height, width)))


def test_the_image_stays_as_it_is_where_a_network_scales_it_in_place() -> None:
    network, expected = of_spandrel(spandrel.architectures.RCAN.RCAN(scale=2, n_resgroups=1, n_resblocks=1, n_feats=16))
    x = picture()
    assert torch.equal(network(x).clamp(0, 1), expected(picture())) and torch.equal(x, picture())


def test_a_network_of_spandrel_is_cut_into_tiles_only_if_it_sees_a_part_and_moves_along() -> None:
    near, _ = of_spandrel(spandrel.architectures.DnCNN.DnCNN(in_nc=3, out_nc=3, nc=8, nb=4))
    assert near.receptive_field == 4
    everywhere, _ = of_spandrel(spandrel.architectures.RCAN.RCAN(n_resgroups=1, n_resblocks=1, n_feats=16))
    windows, _ = of_spandrel(
        spandrel.architectures.SwinIR.SwinIR(
            img_size=16, window_size=8, depths=[2], embed_dim=8, num_heads=[2], upsampler="pixelshuffle", upscale=2
        )
    )
    for whole in (everywhere, windows):
        assert not hasattr(whole, "receptive_field")


def test_weights_that_fit_every_scale_take_it_from_the_name_or_the_flag(tmp_path: pathlib.Path) -> None:
    network = GENERATORS.get("fsrcnn_s")(GENERATORS.options("fsrcnn_s")(scale=3), 3, 3)
    for name in ("plain.pth", "fsrcnn_x3.pth"):
        torch.save(network.state_dict(), tmp_path / name)
    assert load_pretrained(tmp_path / "fsrcnn_x3.pth").scale == 3
    assert builder(tmp_path / "plain.pth", 2).generator(3, 3).scale == 2
    with pytest.raises(UserError, match="--scale 2: .*fsrcnn_x3.pth has 3; use --scale 3"):
        builder(tmp_path / "fsrcnn_x3.pth", 2).generator(3, 3)
