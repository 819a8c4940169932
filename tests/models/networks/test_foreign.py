from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.foreign import (
    clean_state_dict,
    discriminator_from_state,
    generator_from_state,
    infer_discriminator,
    infer_generator,
    load_weights,
)
from util.errors import UserError

NORMS = ("instance", "batch", "none", "instance_affine", "batch_untracked")
PLAIN = ("unet_256", "unet_128", "resnet_9blocks", "resnet_6blocks")


def filled(network: nn.Module) -> nn.Module:
    """Give every tensor its own random values, running statistics too."""
    generator = torch.Generator().manual_seed(0)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) * 0.2 + 0.1)
    return network.eval()


def generator(name: str, input_nc: int = 3, output_nc: int = 3, **values: Any) -> nn.Module:
    options = GENERATORS.options(name)
    known = {field.name for field in dataclasses.fields(options)}
    values = {k: v for k, v in {"ngf": 2, "n_blocks": 2, **values}.items() if k in known}
    return filled(GENERATORS.get(name)(options(**values), input_nc, output_nc))


def output(network: nn.Module, channels: int = 3) -> Tensor:
    size = getattr(network, "size_multiple", 64)
    x = torch.rand(1, channels, max(size, 12), max(size, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = network.eval()(x)
    return y if isinstance(y, Tensor) else y[0].logits


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("no_dropout", (False, True))
def test_generator_loads_with_no_flags_and_gives_the_same_output(name: str, norm: str, no_dropout: bool) -> None:
    first = generator(name, 1, 2, norm=norm, no_dropout=no_dropout)
    found, values, input_nc, output_nc = infer_generator(first.state_dict())
    assert (found, values["norm"], values["ngf"], input_nc, output_nc) == (name, norm, 2, 1, 2)
    assert values["no_dropout"] == (no_dropout if "resnet" in name else False)
    assert torch.equal(output(generator_from_state(first.state_dict()), 1), output(first, 1))


@pytest.mark.parametrize("kind", ("transpose", "resize", "pixelshuffle"))
@pytest.mark.parametrize(("name", "downs"), [("unet", 4), ("unet", 6), ("resnet_6blocks", 0)])
def test_depth_and_the_way_up_are_read_off_the_keys(name: str, downs: int, kind: str) -> None:
    first = generator(name, 1, 3, upsample=kind, num_downs=downs)
    found, values, input_nc, output_nc = infer_generator(first.state_dict())
    assert (found, values["upsample"], values.get("num_downs", 0), input_nc, output_nc) == (name, kind, downs, 1, 3)
    assert torch.equal(output(generator_from_state(first.state_dict()), 1), output(first, 1))


@pytest.mark.parametrize("norm", ("instance", "batch", "instance_affine"))
@pytest.mark.parametrize("scale", (1, 2, 4))
def test_srresnet_loads_with_no_flags(norm: str, scale: int) -> None:
    first = generator("srresnet", norm=norm, scale=scale)
    assert infer_generator(first.state_dict())[:2] == (
        "srresnet",
        {"ngf": 2, "norm": norm, "n_blocks": 2, "scale": scale},
    )
    assert torch.equal(output(generator_from_state(first.state_dict())), output(first))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("name", "extra"),
    (("basic", {}), ("pixel", {}), ("n_layers", {"n_layers_D": 1}), ("n_layers", {"n_layers_D": 4})),
)
def test_discriminator_loads_with_no_flags(name: str, extra: dict[str, int], norm: str) -> None:
    options = DISCRIMINATORS.options(name)(ndf=4, norm=norm, **extra)
    first = filled(DISCRIMINATORS.get(name)(options, 6))
    assert infer_discriminator(first.state_dict()) == (name, {"ndf": 4, "norm": norm, **extra}, 6)
    assert torch.equal(output(discriminator_from_state(first.state_dict()), 6), output(first, 6))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("norm", ("instance", "batch"))
def test_data_parallel_prefix_and_wrappers_are_taken_off(name: str, norm: str) -> None:
    first = generator(name, norm=norm)
    prefixed = {f"module.{key}": value for key, value in first.state_dict().items()}
    for wrapped in (prefixed, {"params_ema": prefixed, "step": 3}, {"state_dict": prefixed, "epoch": 1}):
        assert torch.equal(output(generator_from_state(wrapped)), output(first))


def with_statistics(network: nn.Module, norm_like: str) -> dict[str, Tensor]:
    """Return the state as torch before 0.4 wrote it: running statistics for every instance norm."""
    state = dict(network.state_dict())
    for path, layer in network.named_modules():
        if type(layer).__name__ == "InstanceNorm2d":
            state[f"{path}.running_mean"] = torch.full((layer.num_features,), 5.0)
            state[f"{path}.running_var"] = torch.full((layer.num_features,), 9.0)
            if norm_like == "newer":
                state[f"{path}.num_batches_tracked"] = torch.tensor(7)
    return state


@pytest.mark.parametrize("age", ("older", "newer"))
@pytest.mark.parametrize("norm", ("instance", "instance_affine"))
@pytest.mark.parametrize("name", ("unet_128", "resnet_6blocks"))
def test_statistics_of_old_instance_norms_are_dropped(name: str, norm: str, age: str) -> None:
    first = generator(name, norm=norm)
    state = with_statistics(first, age)
    assert len(state) > len(first.state_dict())
    assert infer_generator(state)[1]["norm"] == norm
    assert set(clean_state_dict(state, first)) == set(first.state_dict())
    assert torch.equal(output(generator_from_state(state)), output(first))


def test_batch_norm_of_a_torch_without_batch_counts_loads() -> None:
    first = generator("resnet_6blocks", norm="batch")
    state = {k: v for k, v in first.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert torch.equal(output(generator_from_state(state)), output(first))


def test_batch_norm_keeps_its_statistics() -> None:
    state = generator("unet_128", norm="batch").state_dict()
    assert set(clean_state_dict(state)) == set(state)


@pytest.mark.parametrize("suffix", (".pth", ".safetensors"))
def test_files_are_read_as_they_were_written(tmp_path: pathlib.Path, suffix: str) -> None:
    state = generator("resnet_6blocks", norm="batch").state_dict()
    path = tmp_path / f"net{suffix}"
    safetensors.torch.save_file(state, path) if suffix == ".safetensors" else torch.save({"params": state}, path)
    found = load_weights(path)
    assert set(found) == set(state)
    assert all(torch.equal(found[key], state[key]) for key in state)


class Hostile:
    """Would write a file when unpickled."""

    def __init__(self, trace: pathlib.Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_a_hostile_file_is_refused_and_its_code_not_run(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hostile.pth"
    torch.save({"model.1.weight": Hostile(tmp_path / "trace")}, path)
    message = refused(path)
    assert "could run code" in message
    assert not (tmp_path / "trace").exists()


def refused(path: pathlib.Path) -> str:
    with pytest.raises(UserError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert "\n" not in message and path.name in message and len(message) < 400
    return message


@pytest.mark.parametrize("suffix", (".pth", ".safetensors"))
@pytest.mark.parametrize("content", (b"", b"not a weights file", bytes(range(256)) * 20, b"PK\x03\x04broken"))
def test_a_damaged_file_gives_one_line(tmp_path: pathlib.Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    message = refused(path)
    assert "cannot be read" in message and "could run code" not in message
    if suffix == ".pth" and not content.startswith(b"PK"):
        assert "(it is damaged, or no weight file at all)" in message


@pytest.mark.parametrize("keep", (0.3, 0.95))
def test_a_truncated_file_gives_one_line(tmp_path: pathlib.Path, keep: float) -> None:
    path = tmp_path / "short.pth"
    torch.save({"a": torch.rand(1000)}, path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    refused(path)


def test_one_flipped_byte_is_noticed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "flipped.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(400)) + 200] ^= 0x40
    path.write_bytes(content)
    assert "checksum" in refused(path)


@pytest.mark.parametrize("content", (torch.zeros(3), {}, {"a": 1}, {"a": [torch.zeros(1)]}, [torch.zeros(1)], "text"))
def test_a_file_without_a_state_dict_gives_one_line(tmp_path: pathlib.Path, content: Any) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    assert "state dict" in refused(path)


def test_a_missing_file_and_a_folder_give_one_line(tmp_path: pathlib.Path) -> None:
    assert "no such" in refused(tmp_path / "absent.pth")
    assert "no such" in refused(tmp_path)


@pytest.mark.parametrize("infer", (infer_generator, infer_discriminator))
@pytest.mark.parametrize(
    "state",
    ({"conv.weight": torch.zeros(3, 3, 1, 1)}, {"model.1.weight": torch.zeros(4)}, {"model.0.weight": torch.zeros(2)}),
)
def test_unknown_networks_give_one_line(infer: Any, state: dict[str, Tensor]) -> None:
    with pytest.raises(UserError, match="unknown"):
        infer(state)


def test_other_depths_are_named() -> None:
    from models.networks.resnet import ResnetGenerator

    with pytest.raises(UserError, match="ResNet of 4"):
        infer_generator(ResnetGenerator(3, 3, 4, 2).state_dict())


def test_a_state_with_a_missing_tensor_names_it() -> None:
    state = dict(generator("resnet_6blocks").state_dict())
    del state["model.12.conv_block.1.weight"]
    with pytest.raises(UserError, match="model.12.conv_block.1.weight"):
        generator_from_state(state)
