from __future__ import annotations

import pathlib

import pytest
import safetensors.torch
import torch
from torch import Tensor

from models.losses import perceptual
from models.losses.perceptual import VGG19Features, VGGPerceptualLoss, parse_layers
from util.errors import UserError

REAL = pathlib.Path(__file__).resolve().parents[4] / "shared/data/weights/vgg19_features_fp16.safetensors"
INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)


def small_state(width: int = 2, prefix: str = "features.") -> dict[str, Tensor]:
    """Return weights of VGG19's shape, but with ``width`` channels everywhere."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for index in INDICES:
        inner = 3 if index == 0 else width
        state[f"{prefix}{index}.weight"] = torch.randn(width, inner, 3, 3, generator=generator) / 3
        state[f"{prefix}{index}.bias"] = torch.zeros(width)
    return state


@pytest.fixture
def weights(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "vgg19.pth"
    torch.save({**small_state(), "classifier.0.weight": torch.zeros(2, 2)}, path)
    return path


def test_loss_is_zero_for_equal_images_and_trains_the_prediction_alone(weights: pathlib.Path) -> None:
    loss = VGGPerceptualLoss(weights)
    prediction = (torch.rand(2, 3, 32, 24) * 2 - 1).requires_grad_()
    target = (torch.rand(2, 3, 32, 24) * 2 - 1).requires_grad_()
    assert loss(target, target).item() == 0
    loss(prediction, target).backward()
    assert prediction.grad is not None and prediction.grad.any()
    assert target.grad is None


def test_layers_are_those_of_torchvision(tmp_path: pathlib.Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        shapes = torchvision.models.vgg19().features.state_dict()
    assert [int(key.split(".")[0]) for key in shapes if key.endswith("weight")] == list(INDICES)
    features = torchvision.models.vgg19(init_weights=False).features[:12].eval()
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        wanted = features(((x + 1) / 2 - mean) / std)
    found = VGG19Features(features.state_dict(), ("relu1_2", "relu3_1"))(x)
    assert list(found) == ["relu1_2", "relu3_1"]
    torch.testing.assert_close(found["relu3_1"], wanted)


@pytest.mark.parametrize("prefix", ("features.", ""))
@pytest.mark.parametrize("suffix", (".pth", ".safetensors"))
def test_both_file_kinds_and_prefixes_load(tmp_path: pathlib.Path, prefix: str, suffix: str) -> None:
    path, state = tmp_path / f"vgg{suffix}", small_state(prefix=prefix)
    safetensors.torch.save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert VGGPerceptualLoss(path)(torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)).item() > 0


def test_one_channel_is_repeated(weights: pathlib.Path) -> None:
    loss, a, b = VGGPerceptualLoss(weights), torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(loss(a, b), loss(a.repeat(1, 3, 1, 1), b.repeat(1, 3, 1, 1)))


def test_layers_and_weights_are_chosen(weights: pathlib.Path) -> None:
    a, b = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    once, thrice = (VGGPerceptualLoss(weights, {"relu2_2": factor})(a, b) for factor in (1.0, 3.0))
    torch.testing.assert_close(thrice, 3 * once)


@pytest.mark.parametrize("shape", ((1, 2, 16, 16), (1, 4, 16, 16), (1, 3, 8, 16)))
def test_images_it_cannot_take_give_one_line(weights: pathlib.Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="VGG perceptual loss needs"):
        VGGPerceptualLoss(weights)(torch.zeros(shape), torch.zeros(shape))


def test_a_file_of_another_network_is_named(tmp_path: pathlib.Path) -> None:
    path, state = tmp_path / "vgg16.pth", small_state()
    del state["features.16.bias"]
    torch.save(state, path)
    with pytest.raises(UserError, match=r"vgg16.pth: not a VGG19, features.16"):
        VGGPerceptualLoss(path)
    torch.save({**small_state(), "features.2.weight": torch.zeros(2, 5, 3, 3)}, path)
    with pytest.raises(UserError, match="not a VGG19, a weight of shape"):
        VGGPerceptualLoss(path)


def test_unknown_layers_name_the_nearest(weights: pathlib.Path) -> None:
    with pytest.raises(UserError, match="relu3_9"):
        VGGPerceptualLoss(weights, {"relu3_9": 1.0})
    with pytest.raises(UserError, match="at least one"):
        VGGPerceptualLoss(weights, {})


def test_weights_that_cannot_be_fetched_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    def no_network(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models.VGG19_Weights.IMAGENET1K_V1.__class__, "get_state_dict", no_network)
    with pytest.raises(UserError, match="--vgg_weights"):
        perceptual.VGGPerceptualLoss()


@pytest.mark.skipif(not REAL.is_file(), reason=f"real VGG19 weights are not at {REAL}")
def test_real_weights_rank_a_blur_below_another_picture() -> None:
    torch.set_num_threads(1)
    loss = VGGPerceptualLoss(REAL)
    generator = torch.Generator().manual_seed(0)
    picture, other = (
        torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=generator), size=64, mode="bilinear") * 2 - 1
        for _ in range(2)
    )
    slightly = picture + 0.02 * torch.randn(picture.shape, generator=generator)
    assert loss(slightly, picture) < loss(other, picture)


def test_layers_before_the_activation_keep_their_signs(weights: pathlib.Path) -> None:
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = VGG19Features(small_state(), ("conv2_1", "relu2_1", "conv5_4"))(x)
    assert list(found) == ["relu2_1", "conv2_1", "conv5_4"] and found["conv2_1"].min() < 0
    assert torch.equal(found["conv2_1"].relu(), found["relu2_1"])
    before, after = (VGGPerceptualLoss(weights, {layer: 1.0}) for layer in ("conv5_4", "relu5_4"))
    assert before(x, -x) > after(x, -x)


def test_the_squared_distance_is_that_of_the_features(weights: pathlib.Path) -> None:
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours, features = VGGPerceptualLoss(weights, {"conv1_2": 0.5}, "mse"), VGG19Features(small_state(), ("conv1_2",))
    wanted = 0.5 * (features(x)["conv1_2"] - features(-x)["conv1_2"]).square().mean()
    torch.testing.assert_close(ours(x, -x), wanted)


def test_layers_are_written_with_or_without_weights() -> None:
    assert parse_layers(("conv1_2:0.1", "relu5_4")) == {"conv1_2": 0.1, "relu5_4": 1.0}
    assert parse_layers(()) is None
    for weight in ("much", "-1", "0", "nan"):
        with pytest.raises(UserError, match=f"--vgg_layers conv5_4:{weight}: write a layer"):
            parse_layers((f"conv5_4:{weight}",))
