"""The dilated ResNet50 is torchvision's, its weights read from a file, and style is the correlation of features."""

from __future__ import annotations

import pathlib

import pytest
import torch
from torch import Tensor

from models.losses.resnet import DilatedResNet50, FarSightedLoss
from models.losses.style import StyleLoss, gram
from util.errors import UserError

VGG = pathlib.Path(__file__).resolve().parents[4] / "shared/data/weights/vgg19_features_fp16.safetensors"


@pytest.fixture(scope="module")
def resnet() -> torch.nn.Module:
    import torchvision

    with torch.device("meta"):  # torchvision's own initialisation takes seconds
        network = torchvision.models.resnet50(weights=None, replace_stride_with_dilation=[False, True, True])
    network, random = network.to_empty(device="cpu").eval(), torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if value.ndim > 1:
            value.uniform_(-0.04, 0.04, generator=random)
        elif value.ndim:
            value.fill_(name.endswith(("weight", "var")))
    return network


def test_features_are_torchvisions(resnet: torch.nn.Module) -> None:
    x, expected = torch.randn(1, 3, 64, 72), []
    hooks = [
        resnet.get_submodule(f"layer{n}").register_forward_hook(lambda m, i, out: expected.append(out))
        for n in range(1, 5)
    ]
    with torch.no_grad():
        resnet(x)
        found = DilatedResNet50(resnet.state_dict(), "here")(x)
    for hook in hooks:
        hook.remove()
    assert [tuple(f.shape[1:]) for f in found] == [(256, 16, 18), (512, 8, 9), (1024, 8, 9), (2048, 8, 9)]
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.std() > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def deep(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights whose first layers are those of the segmentation network: three small convolutions."""
    found = dict(state)
    for number, (inputs, outputs) in enumerate(((3, 64), (64, 64), (64, 128)), start=1):
        found[f"conv{number}.weight"] = torch.randn(outputs, inputs, 3, 3) * 0.1
        for part, value in {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}.items():
            found[f"bn{number}.{part}"] = torch.full((outputs,), value)
    found["layer1.0.conv1.weight"] = torch.randn(64, 128, 1, 1) * 0.1
    found["layer1.0.downsample.0.weight"] = torch.randn(256, 128, 1, 1) * 0.1
    return found


def test_the_loss_reads_a_file_and_pulls_the_prediction_alone(resnet: torch.nn.Module, tmp_path: pathlib.Path) -> None:
    torch.save(deep(resnet.state_dict()), tmp_path / "encoder.pth")
    distance = FarSightedLoss(tmp_path / "encoder.pth")
    ours, theirs = (torch.rand(1, 1, 32, 32).requires_grad_(True) for _ in range(2))
    loss = distance(ours, theirs)
    loss.backward()
    assert loss > 0 and ours.grad is not None and theirs.grad is None
    assert distance(theirs, theirs).item() == 0


def test_other_files_are_told_of_at_once(resnet: torch.nn.Module, tmp_path: pathlib.Path) -> None:
    torch.save({"conv1.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="other.pth: not a ResNet50, bn1.weight is missing"):
        FarSightedLoss(tmp_path / "other.pth")
    with pytest.raises(UserError, match="--lambda_HRF needs images of 1 or 3"):
        torch.save(resnet.state_dict(), tmp_path / "good.pth")
        FarSightedLoss(tmp_path / "good.pth")(torch.zeros(1, 2, 32, 32), torch.zeros(1, 2, 32, 32))


def test_weights_can_be_named_with_their_hash(tmp_path: pathlib.Path) -> None:
    (tmp_path / "encoder.pth").write_bytes(b"")
    with pytest.raises(UserError, match="--resnet_weights .* its sha256 is .*, not 000"):
        FarSightedLoss(f"{tmp_path / 'encoder.pth'}#sha256={64 * '0'}")


def test_gram_matrices_forget_where_features_are() -> None:
    x = torch.randn(2, 3, 4, 5)
    assert torch.allclose(gram(x), gram(x.flip(-1)))
    assert gram(x)[1, 0, 2].item() == pytest.approx(((x[1, 0] * x[1, 2]).sum() / 60).item(), rel=1e-5)


@pytest.mark.skipif(not VGG.is_file(), reason="needs ../shared/data/weights")
def test_style_is_the_same_for_shifted_textures() -> None:
    texture = torch.rand(1, 3, 16, 16).repeat(1, 1, 4, 4) * 2 - 1
    style = StyleLoss(VGG)
    same, other = style(texture.roll(16, -1), texture), style(texture * 0.2, texture)
    assert same.item() < 1e-6 < other.item()
