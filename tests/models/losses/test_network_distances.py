"""LPIPS and DINO as losses: zero on equal images, right gradients, more for more noise, one line without weights."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses.dino import DINOLoss
from models.losses.lpips import LPIPSLoss
from models.losses.mix import MixOptions, ReconstructionMix
from util.errors import UserError

Distance = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return weight files of small networks with weights as they are before training."""
    from torchvision.models import squeezenet1_1

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    networks: dict[str, Any] = {"lpips": squeezenet1_1(weights=None), "dino": timm.create_model("test_vit")}
    for name, network in networks.items():
        torch.save(network.state_dict(), folder / f"{name}.pth")
    return {name: str(folder / f"{name}.pth") for name in networks}


@pytest.fixture(params=["lpips", "dino"])
def distance(request: pytest.FixtureRequest, files: dict[str, str]) -> Distance:
    if request.param == "lpips":
        return LPIPSLoss(files["lpips"])
    return DINOLoss("test_vit", files["dino"])


def picture(channels: int = 3, size: tuple[int, int] = (40, 56)) -> Tensor:
    coarse = torch.rand(2, channels, 5, 7, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return F.interpolate(coarse, size=size, mode="bilinear")


def noise(strength: float, like: Tensor) -> Tensor:
    return strength * torch.randn(like.shape, generator=torch.Generator().manual_seed(2))


def test_equal_images_cost_nothing_and_more_noise_costs_more(distance: Distance) -> None:
    x = picture()
    assert distance(x, x).item() == pytest.approx(0, abs=1e-6)
    near, far = (distance(x + noise(strength, x), x).item() for strength in (0.05, 0.4))
    assert 0 < near < far < 3


def test_one_channel_counts_as_grey(distance: Distance) -> None:
    x = picture(1)
    y = (x + noise(0.2, x)).clamp(-1, 1)
    wide = distance(y.expand(-1, 3, -1, -1), x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(distance(y, x), wide)
    with pytest.raises(UserError, match="1 or 3 channels, not 2"):
        distance(picture(2), picture(2))


def test_the_gradient_is_that_of_finite_differences_and_spares_target_and_network(distance: Any) -> None:
    target, x = picture().requires_grad_(True), (picture() + noise(0.2, picture())).requires_grad_(True)
    distance(x, target).backward()
    assert target.grad is None and x.grad is not None
    assert not any(p.requires_grad for p in distance.network.parameters())
    step = 0.02 * x.grad / x.grad.norm()
    with torch.no_grad():
        rise = distance(x + step, target) - distance(x - step, target)
    assert rise.item() == pytest.approx(2 * 0.02 * x.grad.norm().item(), rel=0.03)


def test_bf16_stays_near_and_the_mean_is_over_samples(distance: Distance) -> None:
    x = picture()
    y = x + noise(0.3, x)
    alone = torch.stack([distance(y[i : i + 1], x[i : i + 1]) for i in range(2)]).mean()
    torch.testing.assert_close(distance(y, x), alone, rtol=1e-4, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        assert distance(y, x).item() == pytest.approx(alone.item(), rel=0.1)


def test_they_are_terms_of_the_mix_with_their_weights(files: dict[str, str]) -> None:
    weights = {"lpips_loss_weights": files["lpips"], "dino_model": "test_vit", "dino_weights": files["dino"]}
    mix = ReconstructionMix(MixOptions(lambda_L1=0, lambda_LPIPS=2.0, lambda_DINO=3.0, **weights))
    x = picture()
    found = mix(x + noise(0.3, x), x)
    assert list(found) == ["G_LPIPS", "G_DINO"]
    assert found["G_DINO"].item() == pytest.approx(3 * mix.terms["G_DINO"].distance(x + noise(0.3, x), x).item())


def test_images_smaller_than_half_a_patch_are_mirrored_to_one(files: dict[str, str]) -> None:
    x = picture(size=(5, 7))
    assert DINOLoss("test_vit", files["dino"])(x, x).item() == pytest.approx(0, abs=1e-5)


def test_weights_can_be_named_with_their_hash(files: dict[str, str]) -> None:
    with pytest.raises(UserError, match="--dino_weights .* its sha256 is .*, not 000"):
        DINOLoss("test_vit", f"{files['dino']}#sha256={64 * '0'}")


def test_without_weights_the_fix_is_named(
    files: dict[str, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="--lambda_LPIPS: no LPIPS.*--lpips_loss_weights"):
        LPIPSLoss()
    with pytest.raises(UserError, match="--lpips_loss_weights .*no LPIPS trunk"):
        LPIPSLoss(files["dino"])
    with pytest.raises(UserError, match="--dino_weights .*patch_embed|--dino_weights .*'cls_token'"):
        DINOLoss("test_vit", files["lpips"])
    with pytest.raises(UserError, match="--dino_model no_such_model"):
        DINOLoss("no_such_model", files["dino"])
    with pytest.raises(UserError, match="--dino_model resnet10t: no vision transformer"):
        DINOLoss("resnet10t", files["dino"])

    def unreachable(name: str, *, pretrained: bool, **_: Any) -> Any:
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(UserError, match="--dino_model x: .*no route to host.*--dino_weights"):
        DINOLoss("x")
