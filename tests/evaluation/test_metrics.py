"""Metrics against values computed another way, and the files and tables that they end up in."""

from __future__ import annotations

import csv
import json
import math
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchmetrics.image import StructuralSimilarityIndexMeasure

from data.value_range import ValueRange
from evaluation.metrics import MetricTable, evaluate_pair, load_lpips
from util.errors import UserError

WEIGHTS = pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "data" / "weights"
SQUEEZENET = WEIGHTS / "squeezenet1_1_features_fp16.safetensors"
needs_squeezenet = pytest.mark.skipif(not SQUEEZENET.is_file(), reason=f"{SQUEEZENET} is not here")
BYTE = ValueRange(0, 255)


def picture(dtype: str = "uint8", high: int = 256, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, (40, 32, channels)).astype(dtype)


def test_a_constant_shift_has_the_psnr_of_the_formula() -> None:
    real = picture(high=200)
    row = evaluate_pair(real + 10, real, BYTE)
    assert row["psnr"] == pytest.approx(20 * math.log10(255 / 10))
    assert row["rmse"] == pytest.approx(10)
    assert row["mae"] == pytest.approx(10)


def test_equal_images_are_perfect() -> None:
    row = evaluate_pair(picture(), picture(), BYTE)
    assert row["psnr"] == math.inf
    assert row["ssim"] == pytest.approx(1.0)
    assert row["rmse"] == row["mae"] == 0.0


def test_ssim_of_constant_images_is_its_luminance_term() -> None:
    real, fake = np.full((20, 20, 1), 100, np.uint8), np.full((20, 20, 1), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert evaluate_pair(fake, real, BYTE)["ssim"] == pytest.approx(expected, rel=1e-5)


def test_ssim_is_torchmetrics_on_images_without_holes() -> None:
    rng = np.random.default_rng(1)
    real = picture().astype(np.float32)
    fake = np.clip(real + rng.normal(0, 30, real.shape), 0, 255).astype(np.float32)
    reference = StructuralSimilarityIndexMeasure(data_range=255.0)
    expected = reference(*(torch.from_numpy(x).permute(2, 0, 1)[None].double() for x in (fake, real)))
    assert evaluate_pair(fake, real, BYTE)["ssim"] == pytest.approx(float(expected), abs=1e-6)


def test_psnr_and_ssim_do_not_depend_on_the_unit() -> None:
    real = picture().astype(np.float32)
    fake = real[::-1].copy()
    metres, microns = (evaluate_pair(fake * unit, real * unit, ValueRange(0, 255 * unit)) for unit in (1.0, 1e6))
    assert metres["ssim"] == pytest.approx(microns["ssim"], abs=1e-5)
    assert metres["psnr"] == pytest.approx(microns["psnr"], abs=1e-4)
    assert microns["rmse"] == pytest.approx(metres["rmse"] * 1e6, rel=1e-5)


def test_errors_of_16_bit_images_are_in_file_units() -> None:
    real = picture("uint16", 4000)
    row = evaluate_pair(real + 7, real, ValueRange(0, 4095))
    assert row["rmse"] == pytest.approx(7)
    assert row["psnr"] == pytest.approx(20 * math.log10(4095 / 7))


def test_unsigned_differences_do_not_wrap() -> None:
    assert evaluate_pair(np.zeros((16, 16), np.uint8), np.full((16, 16), 3, np.uint8), BYTE)["mae"] == 3


def test_ssim_of_windows_inside_leaves_the_border_out() -> None:
    real = picture()
    fake = real.copy()
    fake[0] = 255 - fake[0]
    mirrored, inside = (evaluate_pair(fake, real, BYTE, inside=flag)["ssim"] for flag in (False, True))
    reference = StructuralSimilarityIndexMeasure(data_range=255.0, return_full_image=True)
    images = (torch.from_numpy(x).permute(2, 0, 1)[None].double() for x in (fake, real))
    whole = reference(*images)[1][0].numpy()
    assert inside == pytest.approx(whole[:, 5:-5, 5:-5].mean(), abs=1e-6) and inside > mirrored


def test_unknown_target_pixels_do_not_count() -> None:
    real = picture().astype(np.float32)
    fake = real + 5
    real[:10, :12], fake[:10, :12] = np.nan, 1e6
    row = evaluate_pair(fake, real, BYTE)
    assert row["rmse"] == pytest.approx(5)
    assert row["ssim"] > 0.9


def test_a_target_without_any_known_pixel_gives_undefined_metrics() -> None:
    unknown = np.full((16, 16, 1), np.nan, np.float32)
    assert all(math.isnan(value) for value in evaluate_pair(np.zeros_like(unknown), unknown, BYTE).values())


def test_tiny_images_have_no_ssim_but_the_rest() -> None:
    row = evaluate_pair(np.full((6, 6, 1), 1, np.uint8), np.full((6, 6, 1), 2, np.uint8), BYTE)
    assert math.isnan(row["ssim"])
    assert row["rmse"] == 1


def test_different_sizes_are_refused_with_both_sizes() -> None:
    with pytest.raises(UserError, match="8x16 with 1 channels and the truth 16x16"):
        evaluate_pair(np.zeros((16, 8), np.uint8), np.zeros((16, 16), np.uint8), BYTE)


def table() -> MetricTable:
    rows = MetricTable()
    rows.add("perfect", {"psnr": math.inf, "ssim": 1.0, "rmse": 0.0, "mae": 0.0})
    rows.add("sub/good", {"psnr": 30.0, "ssim": 0.9, "rmse": 4.0, "mae": 3.0})
    rows.add("=poor", {"psnr": 20.0, "ssim": math.nan, "rmse": 8.0, "mae": 6.0})
    rows.add_baseline("mean map", {"rmse": 12.5})
    return rows


def test_means_leave_out_what_is_infinite_or_undefined() -> None:
    mean = table().summary()
    assert mean["psnr"] == pytest.approx(25)
    assert mean["ssim"] == pytest.approx(0.95)
    assert mean["mae"] == pytest.approx(3)


def test_the_mean_rmse_is_over_all_pixels_alike() -> None:
    assert table().summary()["rmse"] == pytest.approx(math.sqrt((0 + 16 + 64) / 3))


def test_baselines_of_each_image_have_means_and_counts_of_better_results(tmp_path: pathlib.Path) -> None:
    rows = table()
    for name, row in (
        ("perfect", {"psnr": 20.0, "ssim": 1.0, "rmse": 5.0}),
        ("sub/good", {"psnr": 30.0, "ssim": 0.8, "rmse": 4.5}),
        ("=poor", {"psnr": 22.0, "ssim": 0.5, "rmse": 7.0}),
    ):
        rows.add_beside("plain way", name, row)
    rows.finish()
    assert rows.better() == {"plain way": {"psnr": 1, "ssim": 1, "rmse": 2}}, "equal or unknown is not better"
    assert rows.baselines["plain way"]["psnr"] == pytest.approx(24)
    assert "better than plain way, of 3 images: PSNR 1, SSIM 1, RMSE 2" in rows.format_table()
    rows.write(tmp_path)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["better"]["plain way"]["rmse"] == 2 and content["beside"]["plain way"]["=poor"]["ssim"] == 0.5
    with (tmp_path / "metrics.csv").open() as file:
        assert [row["plain_way_psnr"] for row in csv.DictReader(file)] == ["20", "30", "22"]


def test_means_of_identical_images_are_infinite() -> None:
    only = MetricTable()
    only.add("x", {"psnr": math.inf})
    assert only.summary() == {"psnr": math.inf}


def _no_constants(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


def test_json_is_strict_and_comes_back(tmp_path: pathlib.Path) -> None:
    table().write(tmp_path)
    content = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=_no_constants)
    assert content["count"] == 3
    assert content["identical"] == 1
    assert content["mean"]["psnr"] == pytest.approx(25)
    assert content["baselines"] == {"mean map": {"rmse": 12.5}}
    assert content["images"]["perfect"]["psnr"] is None
    assert content["images"]["perfect"]["identical"] is True
    assert content["images"]["=poor"]["ssim"] is None
    assert content["images"]["sub/good"] == {"psnr": 30.0, "ssim": 0.9, "rmse": 4.0, "mae": 3.0}


def test_csv_has_one_line_per_image_and_no_formula(tmp_path: pathlib.Path) -> None:
    table().write(tmp_path)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["perfect", "sub/good", "'=poor"]
    assert rows[0]["psnr"] == "inf"
    assert rows[2]["ssim"] == ""
    assert float(rows[1]["rmse"]) == 4.0


def test_a_table_without_rows_removes_what_an_earlier_one_left(tmp_path: pathlib.Path) -> None:
    table().write(tmp_path)
    MetricTable().write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_printed_table_has_the_baselines_below_the_model() -> None:
    lines = table().format_table().splitlines()
    assert lines[0].split() == ["PSNR", "SSIM", "RMSE", "MAE"]
    assert lines[1].split() == ["model", "(3", "images)", "25.00", "0.9500", "5.164", "3"]
    assert lines[2].split() == ["mean", "map", "-", "-", "12.5", "-"]
    assert len({len(line) for line in lines[:3]}) == 1, "columns line up"
    assert lines[3].startswith("95 % intervals of the means") and "RMSE 0 to 8, MAE 0 to 6" in lines[3]


@pytest.fixture(scope="module")
def lpips() -> Callable[[np.ndarray, np.ndarray], float]:
    distance = load_lpips(str(SQUEEZENET))
    assert distance is not None
    return distance


@needs_squeezenet
def test_lpips_is_0_for_equal_images_and_grows_with_distortion(lpips: Callable[..., float]) -> None:
    real = picture(high=200)
    noise = np.random.default_rng(2).normal(0, 1, real.shape)
    rows = [
        evaluate_pair(np.clip(real + strength * noise, 0, 255).astype(np.uint8), real, BYTE, lpips)
        for strength in (0, 20, 80)
    ]
    distances = [row["lpips"] for row in rows]
    assert distances[0] == 0
    assert 0 < distances[1] < distances[2]


@needs_squeezenet
def test_lpips_takes_grey_16_bit_and_leaves_no_gradient(lpips: Callable[..., float]) -> None:
    real = picture("uint16", 4096, channels=1)
    with torch.enable_grad():
        assert evaluate_pair(real // 2, real, ValueRange(0, 4095), lpips)["lpips"] > 0
    assert not any(p.requires_grad or p.grad is not None for p in lpips.network.parameters())  # type: ignore[attr-defined]


@needs_squeezenet
def test_lpips_of_images_below_its_receptive_field_is_undefined(lpips: Callable[..., float]) -> None:
    small = np.zeros((12, 12, 3), np.uint8)
    assert math.isnan(evaluate_pair(small, small, BYTE, lpips)["lpips"])


@needs_squeezenet
def test_lpips_gives_the_same_number_every_time() -> None:
    real, fake = picture(high=200), picture(high=200)[::-1].copy()
    numbers = {evaluate_pair(fake, real, BYTE, load_lpips(str(SQUEEZENET)))["lpips"] for _ in range(2)}
    assert len(numbers) == 1


def test_a_missing_or_wrong_lpips_file_is_one_line(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="--lpips_weights .*no such"):
        load_lpips(str(tmp_path / "none.pth"))
    torch.save({"model.1.weight": torch.zeros(3)}, tmp_path / "generator.pth")
    with pytest.raises(UserError, match="--lpips_weights .*generator.pth.*alexnet, squeezenet1_1 or vgg16"):
        load_lpips(str(tmp_path / "generator.pth"))
    (tmp_path / "damaged.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="--lpips_weights .*damaged.safetensors"):
        load_lpips(str(tmp_path / "damaged.safetensors"))
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, tmp_path / "part.pth")
    with pytest.raises(UserError, match="features.* is missing"):
        load_lpips(str(tmp_path / "part.pth"))


def test_without_any_backbone_lpips_is_left_out_with_the_reason(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert load_lpips(None) is None
    assert "--lpips_weights" in capsys.readouterr().err
