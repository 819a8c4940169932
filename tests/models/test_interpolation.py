"""Between two weights of one network."""

from __future__ import annotations

import pathlib

import pytest
import torch

from models.interpolation import interpolated
from recipes.interpolate import main
from tests.models.networks.small import small
from util.errors import UserError


def test_weights_are_mixed_one_by_one_and_counters_taken() -> None:
    first = {"w": torch.tensor([1.0, 2.0]), "num_batches_tracked": torch.tensor(3)}
    second = {"w": torch.tensor([3.0, -2.0]), "num_batches_tracked": torch.tensor(9)}
    mixed = interpolated(first, second, 0.25)
    assert torch.equal(mixed["w"], torch.tensor([1.5, 1.0])) and mixed["num_batches_tracked"].item() == 9
    assert torch.equal(interpolated(first, second, 0)["w"], first["w"])
    assert torch.equal(interpolated(first, second, 1)["w"], second["w"])


def test_different_networks_are_refused() -> None:
    one, other = (small("G", name, scale=4).state_dict() for name in ("rrdb", "edsr"))
    with pytest.raises(UserError, match="different networks .* differs"):
        interpolated(one, other, 0.5)


def test_the_command_writes_a_file_that_the_network_loads(tmp_path: pathlib.Path) -> None:
    networks = [small("G", "rrdb", scale=4) for _ in range(2)]
    files = [tmp_path / f"{number}.pth" for number in (0, 1)]
    for network, file in zip(networks, files, strict=True):
        torch.save(network.state_dict(), file)
    out = tmp_path / "mixed" / "latest_net_G.pth"
    assert main([*map(str, files), "--alpha", "0.5", "--out", str(out)]) == 0
    mixed = torch.load(out, weights_only=True)
    half = sum(network.state_dict()["conv_first.weight"] for network in networks) / 2
    torch.testing.assert_close(mixed["conv_first.weight"], half)
    networks[0].load_state_dict(mixed)
    with pytest.raises(UserError, match="--alpha 2 is no share"):
        main([*map(str, files), "--alpha", "2", "--out", str(out)])


@pytest.mark.parametrize(("out", "part"), [("m.safetensors", r"ends in \.pth"), ("0.pth/m.pth", "cannot be written")])
def test_a_file_that_cannot_be_written_is_one_line(tmp_path: pathlib.Path, out: str, part: str) -> None:
    file = tmp_path / "0.pth"
    torch.save({"w": torch.ones(2)}, file)
    with pytest.raises(UserError, match=f"--out .*{part}"):
        main([str(file), str(file), "--out", str(tmp_path / out)])
    assert not (tmp_path / "m.safetensors").exists()
