"""Lab by known values, there and back, and a generator of colours that is saved as if it stood alone."""

from __future__ import annotations

import pathlib

import pytest
import torch

from inference.tiling.layered import LayeredRun
from inference.tiling.local import assemble
from inference.tiling.sources import TensorSource
from models.networks.lab import LabColorizer, lab_to_rgb, rgb_to_lab
from models.networks.resnet import ResnetGenerator
from models.networks.stages import run_stages


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.74, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((0.5, 0.5, 0.5), (53.39, 0, 0)),
    ],
)
def test_published_values(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    image = torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1) * 2 - 1
    lightness, colours = rgb_to_lab(image)
    found = [(lightness.item() + 1) * 50, *(110 * colours.flatten()).tolist()]
    assert found == pytest.approx(lab, abs=0.02)


def test_there_and_back_is_the_same_image_also_under_autocast() -> None:
    image = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    torch.testing.assert_close(lab_to_rgb(*rgb_to_lab(image)), image, atol=1e-4, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(lab_to_rgb(*rgb_to_lab(image)), image, atol=1e-4, rtol=0)
    grey = image[:, :1]
    lightness, colours = rgb_to_lab(grey)
    assert colours.abs().max() < 1e-4
    torch.testing.assert_close(lab_to_rgb(lightness, colours), grey.expand(-1, 3, -1, -1), atol=1e-4, rtol=0)


def test_impossible_colours_are_clipped() -> None:
    found = lab_to_rgb(torch.zeros(1, 1, 1, 1), torch.tensor([1.5, -1.5]).view(1, 2, 1, 1))
    assert found.isfinite().all() and found.min() >= -1 and found.max() <= 1


def colorizer(seed: int = 0) -> LabColorizer:
    torch.manual_seed(seed)
    return LabColorizer(ResnetGenerator(1, 2, 1, 2, "instance", dropout=False)).eval()


@torch.no_grad()
def test_the_lightness_stays_and_stages_are_the_network() -> None:
    network, image = colorizer(), torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(1)) * 0.4
    found = network(image)
    assert not torch.allclose(found, image, atol=0.05)
    kept = found.abs().amax(1, keepdim=True) < 0.99  # where no channel was clipped
    torch.testing.assert_close(rgb_to_lab(found)[0][kept], rgb_to_lab(image)[0][kept], atol=1e-3, rtol=0)
    torch.testing.assert_close(run_stages(network.stages(), image.clone()), found)
    tiles = LayeredRun(network.stages(), TensorSource(image), 8, network.size_multiple, device=image.device).tiles()
    torch.testing.assert_close(assemble(tiles, 16, 24), found, atol=1e-4, rtol=1e-4)


def test_keys_are_those_of_the_network_alone(tmp_path: pathlib.Path) -> None:
    first, second = colorizer(0), colorizer(1)
    assert list(first.state_dict()) == list(first.network.state_dict())
    torch.save(first.state_dict(), tmp_path / "weights.pth")
    second.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True))
    image = torch.rand(1, 3, 16, 16)
    assert torch.equal(first(image), second(image))
    both = torch.nn.ModuleDict({"one": colorizer(2), "two": colorizer(3)})
    both.load_state_dict({f"{name}.{key}": value for name in both for key, value in first.state_dict().items()})
    assert torch.equal(both["two"](image), first(image))


@torch.no_grad()
def test_a_network_cast_to_16_bits_takes_such_images() -> None:
    network, image = colorizer(), torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) - 0.5
    wanted = network(image)
    found = network.bfloat16()(image.bfloat16())
    assert (found - wanted).abs().mean() < 0.03
