"""Results measured as super-resolution papers do, against figures that they printed and formulas written out here."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import torch

from data.bicubic import enlarge, shrink
from data.common import CommonDataOptions
from data.readers import read_image
from data.super_resolution_dataset import SuperResolution, SuperResolutionOptions
from data.value_range import ValueRange
from data.writers import write_image
from evaluation.measurement import AsPapersDo, Measurement, PixelByPixel, Sample, measurement_for

SETS = pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "data" / "sr"
BYTE = ValueRange(0, 255)
PUBLISHED = {  # mean PSNR and SSIM of Y at x2, x3, x4
    "Set5": ((33.66, 0.9299), (30.39, 0.8682), (28.42, 0.8104)),
    "Set14": ((30.23, 0.8687), (27.54, 0.7736), (26.00, 0.7019)),
}


def _open(root: pathlib.Path, channels: int, scale: int, **options: Any) -> SuperResolution:
    flags = {"input_nc": channels, "output_nc": channels, "phase": "all", "preprocess": "crop", "cache": "off"}
    return SuperResolution(
        SuperResolutionOptions(scale=scale, **options), CommonDataOptions(dataroot=str(root), **flags), train=False
    )


def _sample(dataset: SuperResolution, index: int, fake: np.ndarray | None = None) -> Sample:
    loaded = dataset.load(index, torch.Generator().manual_seed(0))
    exact = {side: dataset.ranges[side].restore(loaded[side].permute(1, 2, 0).numpy()) for side in "AB"}
    images = {label: np.rint(exact[side]).astype(np.uint8) for label, side in (("real_A", "A"), ("real_B", "B"))}
    images["fake_B"] = images["real_B"] if fake is None else fake
    return Sample(images, "fake_B", exact["A"], loaded)


def measured(measure: Measurement, sample: Sample) -> tuple[dict[str, float], list[dict[str, float]]]:
    row, beside = measure.measure(sample)
    return row, list(beside.values())


def _bicubic(dataset: SuperResolution) -> np.ndarray:
    measure = measurement_for(dataset, BYTE, None)
    assert isinstance(measure, AsPapersDo)
    samples = (_sample(dataset, index) for index in range(len(dataset)))
    rows = [measure.measure_y(sample, sample.extras["colours"])[1] for sample in samples]
    return np.array([[row["psnr_y"], row["ssim_y"]] for row in rows]).mean(0)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the folder of both sets as they were published, where the bridge of Set14 is a file of one channel."""
    if not (SETS / "Set14").is_dir():
        pytest.skip(f"{SETS} is not there")
    root = tmp_path_factory.mktemp("sets")
    for path in (*SETS.glob("Set5/*.png"), *SETS.glob("Set14/*.png")):
        image = read_image(path)
        grey = path.parent.name == "Set14" and path.name == "img_003.png"
        write_image(root / path.parent.name / path.name, image[..., :1] if grey else image)
    return root


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_bicubic_scores_what_the_papers_print(sets: pathlib.Path, name: str, scale: int) -> None:
    psnr, ssim = _bicubic(_open(sets / name, 1, scale))
    expected = PUBLISHED[name][scale - 2]
    assert psnr == pytest.approx(expected[0], abs=0.0075) and ssim == pytest.approx(expected[1], abs=0.0004)


def test_colour_networks_have_the_same_bicubic_row(sets: pathlib.Path) -> None:
    rows = [_bicubic(_open(sets / "Set5", channels, 2)) for channels in (1, 3)]
    assert np.abs(rows[0] - rows[1]).max() < 1e-9


def _photo(path: pathlib.Path, height: int = 33, width: int = 38, channels: int = 3) -> np.ndarray:
    smooth = enlarge(np.random.default_rng(0).random((12, 14, channels)) * 255, 3)[:height, :width]
    image = smooth.clip(0, 255).astype(np.uint8)
    write_image(path, image)
    return image


def _y(image: np.ndarray) -> np.ndarray:
    return np.rint(16 + (65.481 * image[..., 0] + 128.553 * image[..., 1] + 24.966 * image[..., 2]) / 255)


def _psnr(fake: np.ndarray, real: np.ndarray, border: int) -> float:
    difference = (fake.astype(float) - real)[border:-border, border:-border]
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def _ssim(fake: np.ndarray, real: np.ndarray, border: int) -> float:
    """Return the mean over all windows that lie within one channel, summed pixel by pixel."""
    line = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    f, r = (image.astype(float)[border:-border, border:-border] for image in (fake, real))
    values = []
    for y in range(f.shape[0] - 10):
        for x in range(f.shape[1] - 10):
            a, b = f[y : y + 11, x : x + 11], r[y : y + 11, x : x + 11]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            top = (2 * ma * mb + 6.5025) * (2 * cov + 58.5225)
            values.append(top / ((ma**2 + mb**2 + 6.5025) * (va + vb + 58.5225)))
    return float(np.mean(values))


@pytest.mark.parametrize("scale", [2, 3])
def test_colour_results_are_measured_in_rgb_and_y_without_borders(tmp_path: pathlib.Path, scale: int) -> None:
    image = _photo(tmp_path / "a.png")
    image = image[: 33 // scale * scale, : 38 // scale * scale]
    fake = np.clip(image.astype(int) + np.random.default_rng(1).integers(-20, 21, image.shape), 0, 255).astype(np.uint8)
    fake[:scale] = 0
    dataset = _open(tmp_path, 3, scale)
    sample = _sample(dataset, 0, fake)
    row, (beside,) = measured(measurement_for(dataset, BYTE, None), sample)
    assert row["psnr"] == pytest.approx(_psnr(fake, image, scale))
    assert row["psnr_y"] == pytest.approx(_psnr(_y(fake), _y(image), scale))
    assert row["ssim_y"] == pytest.approx(_ssim(_y(fake), _y(image), scale), abs=1e-6)
    channels = [_ssim(fake[..., c], image[..., c], scale) for c in range(3)]
    assert row["ssim"] == pytest.approx(np.mean(channels), abs=1e-6)
    assert beside["psnr"] == pytest.approx(_psnr(enlarge(shrink(image, scale), scale), image, scale))


def test_a_network_of_y_gives_colour_results(tmp_path: pathlib.Path) -> None:
    image = _photo(tmp_path / "a.png", 32, 36)
    dataset = _open(tmp_path, 1, 2)
    measure = measurement_for(dataset, BYTE, None)
    perfect = _sample(dataset, 0)
    shown = measure.shown(perfect)
    assert list(shown) == ["real_A", "bicubic", "fake_B", "real_B"]
    assert {label: values.shape for label, values in shown.items()} == {
        **dict.fromkeys(("bicubic", "fake_B", "real_B"), (32, 36, 3)),
        "real_A": (16, 18, 3),
    }
    assert (shown["real_B"] == image).all()
    assert np.abs(shown["real_A"].astype(int) - shrink(image, 2)).max() <= 2
    assert np.abs(_y(shown["fake_B"]) - perfect.images["real_B"][..., 0]).mean() < 0.6, "Y is the network's"
    simple = enlarge(shrink(image, 2), 2)
    assert np.abs(shown["bicubic"].astype(int) - simple).mean() < 1
    row, (beside,) = measured(measure, perfect)
    assert row["psnr_y"] == np.inf and row["psnr"] > beside["psnr"]


def test_grey_files_stay_grey(tmp_path: pathlib.Path) -> None:
    image = _photo(tmp_path / "a.png", channels=1)
    for channels in (1, 3):
        dataset = _open(tmp_path, channels, 3)
        sample = _sample(dataset, 0)
        measure = measurement_for(dataset, BYTE, None)
        assert measure.shown(sample)["fake_B"].shape[2] == channels
        (beside,) = measured(measure, sample)[1]
        expected = np.clip(np.floor(enlarge(shrink(image[:, :36].astype(float), 3), 3) + 0.5), 0, 255)
        assert beside["psnr_y"] == pytest.approx(_psnr(expected, image[:, :36], 3))


def test_damaged_inputs_are_measured_beside_themselves(tmp_path: pathlib.Path) -> None:
    image = _photo(tmp_path / "a.png")
    dataset = _open(tmp_path, 3, 1, degradation="blur_noise")
    sample = _sample(dataset, 0)
    measure = measurement_for(dataset, BYTE, None)
    assert measure.baseline == "input unchanged" and list(measure.shown(sample)) == ["real_A", "fake_B", "real_B"]
    assert measured(measure, sample)[1][0]["psnr"] == pytest.approx(_psnr(sample.images["real_A"], image, 1))
    large = _open(tmp_path, 3, 2, degradation="blur_noise")
    (beside,) = measured(measurement_for(large, BYTE, None), _sample(large, 0))[1]
    simple = np.floor(enlarge(_sample(large, 0).source, 2).clip(0, 255) + 0.5)
    assert beside["psnr_y"] == pytest.approx(_psnr(_y(simple), _y(image[:32]), 2), abs=0.01)


def test_tiny_images_and_others_data() -> None:
    small = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    images = {"real_A": small[::2, ::2], "fake_B": small, "real_B": small}
    sample = Sample(images, "fake_B", small[::2, ::2].astype(float))
    row, (beside,) = measured(AsPapersDo(2, False, BYTE), sample)
    assert row["psnr"] == np.inf and np.isnan(row["ssim"]) and np.isfinite(beside["psnr"])
    assert isinstance(measurement_for(object(), BYTE, None), PixelByPixel)
