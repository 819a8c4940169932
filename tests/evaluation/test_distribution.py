"""FID and KID against torchmetrics' formulas and known Gaussians; each network's figures under their own name."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from data.readers import read_image
from evaluation.distribution import frechet_distance, kernel_distance
from evaluation.inception import _inception, _OwnPool, load_features
from evaluation.table import LOWER_IS_BETTER, METRICS
from util.errors import UserError

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
LITE0 = SHARED / "weights" / "efficientnet_lite0_nohead_fp16.safetensors"
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("counts", [(50, 60), (9, 14), (50, 9)])
def test_fid_is_torchmetrics_with_many_images_and_with_few(counts: tuple[int, int]) -> None:
    first, second = (RNG.normal(n, 1 + n, (count, 16)) for n, count in enumerate(counts))
    moments = [m for part in (first, second) for m in (part.mean(axis=0), np.cov(part, rowvar=False))]
    expected = float(_compute_fid(*(torch.from_numpy(np.asarray(m)) for m in moments)))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-4)


def test_fid_of_equal_sets_is_nothing_and_of_a_shift_its_square() -> None:
    features = RNG.normal(size=(200, 8))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features + 3) == pytest.approx(8 * 9, rel=1e-9)


def test_kid_is_torchmetrics_and_unbiased() -> None:
    first, second = RNG.normal(size=(40, 12)), RNG.normal(1, 2, size=(40, 12))
    expected = float(poly_mmd(torch.from_numpy(first), torch.from_numpy(second)))
    assert kernel_distance(first, second) == pytest.approx(expected, rel=1e-9)
    equal = [kernel_distance(RNG.normal(size=(30, 4)), RNG.normal(size=(20, 4))) for _ in range(300)]
    assert abs(np.mean(equal)) < 0.05 < np.std(equal)


def test_kid_of_many_images_is_a_mean_of_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.distribution._SUBSETS", 10)
    first, second = RNG.normal(size=(1200, 4)), RNG.normal(0.5, 1, size=(1100, 4))
    whole = float(poly_mmd(torch.from_numpy(first[:1100]), torch.from_numpy(second)))
    assert kernel_distance(first, second) == pytest.approx(whole, rel=0.1)


@pytest.fixture(scope="module")
def inception_state() -> dict[str, torch.Tensor]:
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    return inception_v3(weights=None, aux_logits=False, init_weights=False).state_dict()


def test_each_inception_has_names_and_pools_of_its_own(
    inception_state: dict[str, torch.Tensor], tmp_path: pathlib.Path
) -> None:
    published = inception_state | {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    images = [RNG.random((40, 40, 3)) for _ in range(2)]
    features = {}
    for name, state in {"published": published, "torchvision": inception_state}.items():
        torch.save(state, tmp_path / f"{name}.pth")
        network = load_features(str(tmp_path / f"{name}.pth"))
        features[name] = network.features(images)
        found = network.compare(images, images[::-1])
        assert found.keys() == ({"fid", "kid"} if name == "published" else {"fid_torchvision", "kid_torchvision"})
        assert found.keys() <= METRICS.keys() and found.keys() <= set(LOWER_IS_BETTER)
    assert features["published"].shape == (2, 2048)
    assert not np.allclose(features["published"], features["torchvision"])


def test_the_published_inception_leaves_padding_out_of_averages_and_ends_with_the_largest(
    inception_state: dict[str, torch.Tensor],
) -> None:
    network: Any = _inception(inception_state, published=True)
    own = {name: block for name, block in network.named_children() if isinstance(block, _OwnPool)}
    assert {name[-2:] for name in own} == {"5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b", "7c"}
    assert [name for name, block in own.items() if block.largest] == ["Mixed_7c"]
    for name, channels, around_peak in (("Mixed_5b", 192, 2.0), ("Mixed_7c", 2048, 10.0)):
        branch = own[name].block.branch_pool
        flat, peak = torch.ones(1, channels, 5, 5), torch.ones(1, channels, 5, 5)
        peak[..., 2, 2] = 10.0
        at_border, inside = (own[name](x)[:, -branch.conv.out_channels :] for x in (flat, peak))
        torch.testing.assert_close(at_border, branch(flat))
        torch.testing.assert_close(inside[..., 1:4, 1:4], branch(around_peak * flat)[..., 1:4, 1:4])


def test_torchvisions_inception_computes_what_torchvision_computes(
    inception_state: dict[str, torch.Tensor], tmp_path: pathlib.Path
) -> None:
    from torchvision.models import inception_v3

    torch.save(inception_state, tmp_path / "a.pth")
    network = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
    network.load_state_dict(inception_state)
    network.fc = torch.nn.Identity()
    image = RNG.random((299, 299, 3))
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(image.transpose(2, 0, 1)).float()[None] * 2 - 1)
    np.testing.assert_allclose(load_features(str(tmp_path / "a.pth")).features([image]), expected, atol=1e-5)


def test_other_files_and_an_empty_cache_are_one_line(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"--fid_weights .*a\.pth: no network that is known"):
        load_features(str(tmp_path / "a.pth"))
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(3)}, tmp_path / "b.pth")
    with pytest.raises(UserError, match=r"--fid_weights .*b\.pth: "):
        load_features(str(tmp_path / "b.pth"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match="--fid_weights auto: no Inception weights"):
        load_features("auto")


@pytest.mark.skipif(not LITE0.is_file(), reason="needs the shared EfficientNet-lite0")
def test_the_stand_in_tells_summer_from_winter_under_its_own_name() -> None:
    folder = SHARED / "unpaired" / "summer2winter_yosemite"
    summer, winter = (
        [read_image(path) / 255 for path in sorted((folder / name).iterdir())[::5]] for name in ("trainA", "trainB")
    )
    network = load_features(str(LITE0))
    alike, apart = network.compare(summer[::2], summer[1::2]), network.compare(summer[::2], winter[::2])
    assert alike.keys() == {"fid_lite0", "kid_lite0"} and "lite0" in network.source
    assert alike["kid_lite0"] < apart["kid_lite0"] / 2 and apart["fid_lite0"] > 0
    assert network.compare(summer[:1], winter[:2]) == {}
