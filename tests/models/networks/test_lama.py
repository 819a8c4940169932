"""LaMa is spandrel's, in any precision, and survives files of others."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from inference.export.measure import runner_of
from inference.export.portable import Description
from inference.export.torch_file import open_weights, write_weights
from inference.predictor import Predictor
from models.builder import Builder, Channels
from models.networks.foreign import generator_from_state, infer_generator, load_weights
from models.networks.lama import LaMaOptions
from models.networks.pretrained import load_pretrained
from models.test_model import OneSided, OneSidedOptions
from tests.models.networks.test_inpainters import NAMES, lively, picture

spandrel = pytest.importorskip("spandrel")


@pytest.fixture(scope="module")
def big() -> Any:
    """Return a Big LaMa of full size; spandrel knows no narrower one."""
    return lively("lama_big", ngf=64, n_blocks=18)


@pytest.mark.parametrize("prefix", ["generator.", "model."])
@torch.no_grad()
def test_big_lama_is_that_of_spandrel_there_and_back(big: Any, prefix: str) -> None:
    theirs = spandrel.ModelLoader().load_from_state_dict({f"{prefix}{k}": v for k, v in big.state_dict().items()})
    sizes = ((32, 48), (29, 43)) if prefix == "model." else ((17, 40),)
    for image, mask in (picture(*size) for size in sizes):
        expected = theirs.eval()(image, mask)
        assert (expected * mask).std() > 1e-3
        found = torch.where(mask > 0, big(torch.cat([image, mask], 1)), image)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert set(generator_from_state({f"{prefix}{k}": v for k, v in big.state_dict().items()}).state_dict()) == set(
        big.state_dict()
    )


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_state_dicts_tell_the_network(name: str, tmp_path: pathlib.Path) -> None:
    network, x = lively(name), torch.cat(picture(), 1)
    found, values, *channels = infer_generator(network.state_dict())
    assert (found, channels, values["ngf"]) == ("lama" if name == "lama_big" else name, [4, 3], 8)
    assert torch.equal(generator_from_state(network.state_dict()).eval()(x), network(x))
    torch.save(network.state_dict(), tmp_path / "some.pth")
    pretrained = load_pretrained(tmp_path / "some.pth").eval()
    assert (pretrained.known.input_nc, pretrained.known.output_nc) == (4, 3)
    shown = x if name in ("lama", "lama_big", "gin") else torch.cat([2 * x[:, :3] - 1, x[:, 3:]], 1)
    expected = network(shown) if shown is x else network(shown) / 2 + 0.5
    torch.testing.assert_close(pretrained(x), expected, atol=1e-5, rtol=1e-5)


def test_a_training_state_of_lama_gives_its_generator(tmp_path: pathlib.Path) -> None:
    network, x = lively("lama"), torch.cat(picture(), 1)
    state = {f"generator.{key}": value for key, value in network.state_dict().items()}
    state |= {"discriminator.model0.0.weight": torch.zeros(4, 3, 4, 4), "val_evaluator.x": torch.zeros(1)}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "best.ckpt")
    with torch.no_grad():
        assert torch.equal(generator_from_state(load_weights(tmp_path / "best.ckpt")).eval()(x), network(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision_gives_no_black_images(dtype: torch.dtype) -> None:
    """A bright map's mean times its pixels is beyond float16; the spectrum of LaMa is computed in float32."""
    network, (image, mask) = lively("lama"), picture(64, 64)
    x = torch.cat([image, mask], 1)
    expected = network(x)
    with torch.autocast("cpu", dtype):
        found = network(x)
    assert found.isfinite().all() and (found - expected).abs().mean() < 0.02
    unit = network.model[5].conv1.ffc.convg2g.fu
    bright = torch.full((1, unit.bn.num_features // 2, 64, 64), 2000.0, dtype=dtype)
    with torch.autocast("cpu", dtype):
        assert unit(bright).dtype == dtype
        assert float(unit.bn.running_var.min()) > 0 and _spectrum(unit, bright).max() > 65504


def _spectrum(unit: Any, x: Tensor) -> Tensor:
    seen: list[Tensor] = []
    handle = unit.bn.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    unit(x)
    handle.remove()
    assert seen[0].dtype == torch.float32 and seen[0].isfinite().all()
    return seen[0].abs()


def test_exported_weights_have_the_names_that_others_look_for(tmp_path: pathlib.Path) -> None:
    network = lively("lama", ngf=2)
    model = OneSided(OneSidedOptions(), Builder({"netG": (lambda *_: network, LaMaOptions())}, Channels(4, 3)))
    predictor = Predictor(model, torch.device("cpu"))
    facts = Description("a test", 4, 3, "0 255", "0 255", 1, 1)
    write_weights(predictor, tmp_path / "lama.safetensors", facts, torch.float32)
    keys = safetensors.torch.load_file(tmp_path / "lama.safetensors")
    assert set(keys) == {f"generator.{key}" for key in network.state_dict()}
    x = torch.cat(picture(), 1)
    again = open_weights(tmp_path / "lama.safetensors", predictor)
    assert torch.equal(again(x), runner_of(predictor)(x))
