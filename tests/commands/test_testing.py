"""test.py from its command line to the files it leaves: names, depths, sizes, metrics, failures."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from commands import report
from commands.build import build_dataset, build_model, describe_data
from commands.testing import TestingSession, translate
from data.listing import distinct
from data.pairs import PairedImages
from data.readers import read_image
from data.writers import write_image
from evaluation.comparison import read_tests
from models.networks.resnet import ResnetGenerator
from models.networks.unet import UnetGenerator
from options.saved import save_options
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--preprocess", "none", "--gpu_ids", "-1"]
IDENTITY = '''
from torch import nn
from dataclasses import dataclass
from models.networks import GENERATORS
from models.networks.common import NetworkOptions

@dataclass(frozen=True)
class IdentityOptions(NetworkOptions):
    pass

class Identity(nn.Module):
    size_multiple = 4
    def __init__(self):
        super().__init__()
        self.unused = nn.Conv2d(1, 1, 1)
    def forward(self, x):
        return x

@GENERATORS.register("identity", options=IdentityOptions)
def identity(options, input_nc, output_nc):
    """Return the input."""
    return Identity()
'''


def noise(shape: tuple[int, ...], high: int = 256, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


class Runs:
    """A folder of runs without training: freshly built networks and their options, saved as training saves them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.checkpoints, self.results = folder / "checkpoints", folder / "results"

    def make(self, name: str, dataroot: pathlib.Path, *words: object, epochs: tuple[str, ...] = ("latest",)) -> None:
        from models.files import save_networks
        from util.files import write_text

        common = ["--dataroot", dataroot, "--name", name, "--checkpoints_dir", self.checkpoints]
        options = TrainOptions().parse([str(word) for word in [*common, *SMALL, *words]])
        folder = self.checkpoints / name
        folder.mkdir(parents=True)
        save_options(options, folder, "train")
        write_text(folder / "data.json", json.dumps(describe_data(build_dataset(options, train=True))))
        model = build_model(options, train=True)
        for epoch in epochs:
            save_networks(model.networks(), folder, epoch)

    def words(self, name: str, dataroot: pathlib.Path, *words: object) -> list[str]:
        places = ["--checkpoints_dir", self.checkpoints, "--results_dir", self.results, "--gpu_ids", "-1"]
        return [str(word) for word in ["--dataroot", dataroot, "--name", name, *places, *words]]

    def test(self, name: str, dataroot: pathlib.Path, *words: object) -> int:
        return TestingSession(TestOptions().parse(self.words(name, dataroot, *words))).run()

    def folder(self, name: str, label: str = "test_latest") -> pathlib.Path:
        return self.results / name / label

    def images(self, name: str, label: str = "test_latest") -> list[str]:
        folder = self.folder(name, label) / "images"
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def read(self, name: str, image: str) -> np.ndarray:
        return read_image(self.folder(name) / "images" / image)


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> Runs:
    return Runs(tmp_path)


def write_pairs(root: pathlib.Path, make: Callable[[int], np.ndarray], count: int = 2) -> pathlib.Path:
    for phase in ("train", "test"):
        for number in range(count):
            write_image(root / phase / f"{number}.png", make(number))
    return root


def names(stems: list[str], labels: list[str]) -> list[str]:
    return sorted(f"{stem}_{label}.png" for stem in stems for label in labels)


# names, labels and flags of the established command line


@pytest.mark.parametrize("model", ["pix2pix", "template"])
def test_paired_runs_need_only_dataroot_and_name(runs: Runs, aligned: pathlib.Path, model: str) -> None:
    runs.make(model, aligned, "--model", model)
    assert runs.test(model, aligned) == 0
    assert runs.images(model) == names(["00", "01"], ["real_A", "fake_B", "real_B"])
    metrics = json.loads((runs.folder(model) / "metrics.json").read_text())
    assert metrics["count"] == 2
    assert set(metrics["mean"]) >= {"psnr", "ssim", "rmse", "mae"}
    assert set(metrics["baselines"]) == {"input unchanged"}
    assert (runs.folder(model) / "metrics.csv").is_file()
    assert (runs.folder(model) / "index.html").is_file()
    assert "dataroot" in (runs.checkpoints / model / "test_opt.txt").read_text()


def test_cycle_gan_writes_both_cycles(runs: Runs, unaligned: pathlib.Path) -> None:
    runs.make("cycle", unaligned)
    assert runs.test("cycle", unaligned) == 0
    labels = ["real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B"]
    assert runs.images("cycle") == names(["00", "01"], labels)
    assert not (runs.folder("cycle") / "metrics.json").exists()


def test_a_longer_target_folder_loses_no_image(runs: Runs, unaligned: pathlib.Path, tmp_path: pathlib.Path) -> None:
    runs.make("cycle", unaligned)
    data = tmp_path / "data"
    for folder, count in (("testA", 1), ("testB", 3)):
        for number in range(count):
            write_image(data / folder / f"x{number}.png", noise((8, 8, 3), seed=number))
    assert runs.test("cycle", data) == 0
    written = [runs.read("cycle", f"{stem}_real_B.png") for stem in ("x0", "x0_2", "x0_3")]
    assert all(np.array_equal(image, noise((8, 8, 3), seed=n)) for n, image in enumerate(written))


def test_repeated_names_get_numbers_that_are_free() -> None:
    assert distinct(["x", "x", "x_2", "y", "x"]) == ["x", "x_3", "x_2", "y", "x_4"]


@pytest.mark.parametrize("words", [["--model_suffix", "_A"], ["--direction", "AtoB"], []], ids=" ".join)
def test_one_side_of_cycle_gan_is_what_both_sides_give(runs: Runs, unaligned: pathlib.Path, words: list[str]) -> None:
    runs.make("cycle", unaligned)
    runs.test("cycle", unaligned)
    expected = runs.read("cycle", "00_fake_B.png")
    shutil.rmtree(runs.folder("cycle"))
    assert runs.test("cycle", unaligned / "testA", "--model", "test", *words) == 0
    assert runs.images("cycle") == names(["00", "01"], ["real", "fake"])
    assert np.array_equal(runs.read("cycle", "00_fake.png"), expected)


@pytest.mark.parametrize("words", [["--model_suffix", "_B"], ["--direction", "BtoA"]], ids=" ".join)
def test_the_other_side_of_cycle_gan(runs: Runs, unaligned: pathlib.Path, words: list[str]) -> None:
    runs.make("cycle", unaligned)
    runs.test("cycle", unaligned)
    expected = runs.read("cycle", "00_fake_A.png")
    assert runs.test("cycle", unaligned / "testB", "--model", "test", *words) == 0
    assert np.array_equal(runs.read("cycle", "00_fake.png"), expected)


def test_a_run_trained_backwards_translates_as_it_was_trained(runs: Runs, unaligned: pathlib.Path) -> None:
    runs.make("cycle", unaligned, "--direction", "BtoA")
    runs.test("cycle", unaligned)
    expected = runs.read("cycle", "00_fake_B.png")
    assert runs.test("cycle", unaligned / "testB", "--model", "test") == 0
    assert np.array_equal(runs.read("cycle", "00_fake.png"), expected)


def test_one_side_of_pix2pix(runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    write_image(tmp_path / "photos" / "p.png", noise((32, 32, 3)))
    assert runs.test("pix", tmp_path / "photos", "--model", "test") == 0
    assert runs.images("pix") == names(["p"], ["real", "fake"])
    assert np.array_equal(runs.read("pix", "p_real.png"), noise((32, 32, 3)))


def test_num_test_and_epoch_and_load_iter(runs: Runs, aligned: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix", epochs=("5", "iter_40"))
    assert runs.test("pix", aligned, "--epoch", 5, "--num_test", 1) == 0
    assert runs.images("pix", "test_5") == names(["00"], ["real_A", "fake_B", "real_B"])
    assert runs.test("pix", aligned, "--load_iter", 40, "--phase", "train", "--eval") == 0
    assert len(runs.images("pix", "train_latest_iter40")) == 18
    with pytest.raises(UserError, match="latest_net_G.pth: no such weights .*5, iter_40"):
        runs.test("pix", aligned)


@pytest.mark.parametrize(("ratio", "size"), [(2.0, (32, 64)), (0.5, (64, 32))])
def test_aspect_ratio_is_width_over_height(
    runs: Runs, aligned: pathlib.Path, ratio: float, size: tuple[int, int]
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    assert runs.test("pix", aligned, "--aspect_ratio", ratio, "--num_test", 1) == 0
    assert {runs.read("pix", image).shape[:2] for image in runs.images("pix")} == {size}


def test_images_are_cropped_to_crop_size_unless_preprocess_is_none(runs: Runs, aligned: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    words = ["--preprocess", "resize_and_crop", "--crop_size", 16, "--num_test", 1]
    assert runs.test("pix", aligned, *words) == 0
    assert runs.read("pix", "00_fake_B.png").shape == (16, 16, 3)


# values, depths and sizes


@pytest.fixture
def identity(tmp_path: pathlib.Path) -> list[object]:
    (tmp_path / "identity.py").write_text(IDENTITY)
    return ["--plugin", tmp_path / "identity.py", "--netG", "identity"]


@pytest.mark.parametrize(("dtype", "count", "shape"), [("uint8", 256, (16, 16, 1)), ("uint16", 65536, (256, 256, 1))])
def test_no_value_changes_through_the_identity(
    runs: Runs, tmp_path: pathlib.Path, identity: list[object], dtype: str, count: int, shape: tuple[int, ...]
) -> None:
    every = np.arange(count).reshape(shape).astype(dtype)
    data = write_pairs(tmp_path / "data", lambda _: np.concatenate([every, every], 1), count=1)
    runs.make("same", data, "--model", "template", *identity, "--input_nc", 1, "--output_nc", 1)
    assert runs.test("same", data, *identity[:2]) == 0
    result = runs.read("same", "0_fake_B.png")
    assert result.dtype == every.dtype
    assert np.array_equal(result, every)
    assert json.loads((runs.folder("same") / "metrics.json").read_text())["identical"] == 1


def test_16_bit_in_16_bit_out_with_a_preview(runs: Runs, tmp_path: pathlib.Path) -> None:
    data = write_pairs(tmp_path / "data", lambda n: noise((16, 32, 3), 4096, "uint16", seed=n))
    runs.make("deep", data, "--model", "pix2pix")
    assert runs.test("deep", data) == 0
    assert {runs.read("deep", image).dtype.name for image in runs.images("deep")} == {"uint16"}
    assert np.array_equal(runs.read("deep", "0_real_A.png"), noise((16, 32, 3), 4096, "uint16")[:, :16])
    previews = list((runs.folder("deep") / "previews").rglob("*.png"))
    assert len(previews) == 6
    assert {read_image(path).dtype.name for path in previews} == {"uint8"}


def test_a_run_on_8_bit_files_takes_16_bit_ones(
    runs: Runs, tmp_path: pathlib.Path, aligned: pathlib.Path, identity: list[object]
) -> None:
    runs.make("pix", aligned, "--model", "template", *identity)
    deep = noise((12, 12, 3), 65536, "uint16")
    write_image(tmp_path / "deep" / "x.png", deep)
    assert runs.test("pix", tmp_path / "deep", "--model", "test", *identity[:2]) == 0
    assert np.array_equal(runs.read("pix", "x_fake.png"), deep)


def test_files_of_a_depth_that_means_nothing_to_the_run_are_refused(runs: Runs, tmp_path: pathlib.Path) -> None:
    data = write_pairs(tmp_path / "data", lambda n: noise((8, 16, 3), 900, "uint16", seed=n))
    runs.make("deep", data, "--model", "pix2pix")
    write_image(tmp_path / "plain" / "x.png", noise((8, 8, 3)))
    with pytest.raises(UserError, match="uint8 files, but the run was trained on uint16 files with values"):
        runs.test("deep", tmp_path / "plain", "--model", "test")


def test_going_back_uses_the_ranges_the_other_way_round(
    runs: Runs, tmp_path: pathlib.Path, identity: list[object]
) -> None:
    data = tmp_path / "data"
    for phase in ("train", "test"):
        write_image(data / f"{phase}A" / "a.png", noise((8, 8, 3)))
        write_image(data / f"{phase}B" / "b.tif", noise((8, 8, 3), 1000, "uint16").astype(np.float32) / 100)
    runs.make("cycle", data, *identity)
    assert runs.test("cycle", data / "testB", "--model", "test", "--model_suffix", "_B", *identity[:2]) == 0
    assert runs.images("cycle") == ["b_fake.png", "b_real.tif"]
    real, fake = runs.read("cycle", "b_real.tif"), runs.read("cycle", "b_fake.png")
    assert real.dtype == np.float32 and fake.dtype == np.uint8
    assert np.allclose(real, read_image(data / "testB" / "b.tif"), atol=1e-4)
    assert np.corrcoef(real.ravel(), fake.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("size", [(33, 47), (9, 30)])
def test_odd_sizes_come_out_at_their_own_size(runs: Runs, aligned: pathlib.Path, size: tuple[int, int],
                                              tmp_path: pathlib.Path) -> None:  # fmt: skip
    runs.make("pix", aligned, "--model", "pix2pix")
    write_image(tmp_path / "odd" / "x.png", noise((*size, 3)))
    assert runs.test("pix", tmp_path / "odd", "--model", "test") == 0
    assert runs.read("pix", "x_fake.png").shape == (*size, 3)
    assert np.array_equal(runs.read("pix", "x_real.png"), noise((*size, 3)))


def test_unknown_target_pixels_are_neither_measured_nor_invented(
    runs: Runs, tmp_path: pathlib.Path, identity: list[object]
) -> None:
    data, depth = tmp_path / "data", np.random.default_rng(0).random((16, 16, 1)).astype(np.float32)
    holes = depth.copy()
    holes[:4] = np.nan
    for phase, target in (("train", depth), ("test", holes)):
        write_image(data / phase / "a" / "x.tif", depth)
        write_image(data / phase / "b" / "x.tif", target)
    words = ["--dir_A", "a", "--dir_B", "b"]
    runs.make("depth", data, "--model", "template", *identity, *words, "--input_nc", 1, "--output_nc", 1)
    assert runs.test("depth", data, *identity[:2], *words) == 0
    assert np.isnan(runs.read("depth", "x_real_B.tif")[:4]).all()
    metrics = json.loads((runs.folder("depth") / "metrics.json").read_text())
    assert metrics["mean"]["rmse"] < 1e-5
    assert set(metrics["baselines"]) == {"input unchanged", "mean map", "intensity regression"}


def test_equal_names_in_different_folders_are_all_kept(
    runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    for number, place in enumerate(("a/x.png", "b/x.png", "x.png")):
        write_image(tmp_path / "deep" / place, noise((16, 16, 3), seed=number))
    assert runs.test("pix", tmp_path / "deep", "--model", "test") == 0
    stems = ["a/x", "b/x", "x"]
    assert runs.images("pix") == names(stems, ["fake", "real"])
    for number, stem in enumerate(stems):
        assert np.array_equal(runs.read("pix", f"{stem}_real.png"), noise((16, 16, 3), seed=number))


def test_twice_the_same_files(runs: Runs, aligned: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")

    def digests() -> dict[str, str]:
        assert runs.test("pix", aligned) == 0
        files = [path for path in runs.folder("pix").rglob("*") if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    assert digests() == digests()


class _Corners:
    """Features that take no network: the values of a few pixels."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, ::9, ::9].flatten(1)


@pytest.mark.parametrize("model", ["pix2pix", "cycle_gan"])
def test_fid_of_paired_and_unpaired_results_is_named_after_its_network(
    runs: Runs, aligned: pathlib.Path, unaligned: pathlib.Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    from evaluation.inception import FeatureNetwork

    network = FeatureNetwork(_Corners(), 32, "_lite0", "EfficientNet-lite0 (a.pth)")
    monkeypatch.setattr("commands.report.load_features", lambda weights: network)
    data = unaligned if model == "cycle_gan" else aligned
    runs.make("run", data, "--model", model)
    assert runs.test("run", data, "--fid_weights", "a.pth") == 0
    found = json.loads((runs.folder("run") / "metrics.json").read_text())
    assert found["mean"]["fid_lite0"] > 0 and "kid_lite0" in found["mean"] and "fid" not in found["mean"]
    assert found["measured_by"]["fid_lite0"] == "EfficientNet-lite0 (a.pth)"
    assert "FID (EfficientNet-lite0)" in (runs.folder("run") / "index.html").read_text()


# failures


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated"])
def test_a_corrupt_image_is_skipped_with_one_line(
    runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    data = tmp_path / "data"
    shutil.copytree(aligned, data)
    good = (data / "test" / "00.png").read_bytes()
    content = {"empty": b"", "garbage": b"no image", "truncated": good[: len(good) // 2]}[damage]
    (data / "test" / "00b.png").write_bytes(content)
    capsys.readouterr()
    assert runs.test("pix", data) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "00b.png" in line]
    assert len(lines) == 1 and lines[0].startswith("skipped: ")
    assert runs.images("pix") == names(["00", "01"], ["real_A", "fake_B", "real_B"])
    assert json.loads((runs.folder("pix") / "metrics.json").read_text())["count"] == 2
    with pytest.raises(UserError, match=r"00b\.png"):
        runs.test("pix", data, "--on_bad_file", "stop")


def test_an_interrupted_test_is_taken_up_where_it_stopped(
    runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    assert runs.test("pix", aligned) == 0
    metrics = (runs.folder("pix") / "metrics.json").read_bytes()
    page = (runs.folder("pix") / "index.html").read_text()
    kept, lost = (runs.folder("pix") / "images" / f"0{n}_fake_B.png" for n in (0, 1))
    before, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    with (runs.folder("pix") / "rows.jsonl").open("a") as file:
        file.write('{"name": "02", "fil')  # a kill in the middle of a line
    assert runs.test("pix", aligned, "--skip_existing") == 0
    assert kept.stat().st_mtime_ns == before and lost.read_bytes() == content
    assert json.loads((runs.folder("pix") / "metrics.json").read_bytes()) == json.loads(metrics)
    assert (runs.folder("pix") / "index.html").read_text().count("<img") == page.count("<img")
    assert len(read_tests([runs.folder("pix")])[0].files) == 2, "what the kill cut short is gone"
    assert runs.test("pix", aligned) == 0
    assert kept.stat().st_mtime_ns != before, "without the flag all is done again"


def test_only_the_same_test_is_taken_up(runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    assert runs.test("pix", aligned, "--num_test", 1) == 0
    kept = runs.folder("pix") / "images" / "00_fake_B.png"
    before = kept.stat().st_mtime_ns
    assert runs.test("pix", aligned, "--skip_existing", "--num_threads", 0) == 0
    with pytest.raises(UserError, match=r"were made with --test_norm auto, not running; leave out --skip_existing"):
        runs.test("pix", aligned, "--skip_existing", "--test_norm", "running")
    weights = tmp_path / "checkpoints/pix/latest_net_G.pth"
    state = torch.load(weights, weights_only=True)
    torch.save({key: value + 0.01 if value.is_floating_point() else value for key, value in state.items()}, weights)
    with pytest.raises(UserError, match="were made by other weights of the run"):
        runs.test("pix", aligned, "--skip_existing")
    assert kept.stat().st_mtime_ns == before
    (runs.folder("pix") / "made_by.json").write_text("{")
    assert runs.test("pix", aligned, "--skip_existing") == 0, "older folders do not say"


def test_averages_have_results_of_their_own(runs: Runs, aligned: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix", "--netG", "resnet_6blocks", "--ngf", 2)
    for label, words in (("", ()), ("_x8", ("--tta", "x8")), ("_mc2", ("--mc_dropout", 2))):
        assert runs.test("pix", aligned, "--num_test", 1, *words) == 0
        assert runs.images("pix", f"test_latest{label}")


def test_rows_of_an_earlier_test_by_more_processes_are_gone(runs: Runs, aligned: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    old = runs.folder("pix") / "rows.1.jsonl"
    old.parent.mkdir(parents=True)
    old.write_text('{"name": "gone", "files": {}}\n')
    assert runs.test("pix", aligned) == 0
    assert "gone" not in read_tests([runs.folder("pix")])[0].files and not old.exists()


def test_failures_are_listed_in_the_folder_of_results(
    runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name, noise((16, 16, 3)))
    (tmp_path / "in" / "b.png").write_bytes((tmp_path / "in" / "b.png").read_bytes()[:60])
    assert runs.test("pix", tmp_path / "in", "--model", "test") == 1
    (line,) = (runs.folder("pix") / "failures.txt").read_text().splitlines()
    assert line.startswith(str(tmp_path / "in" / "b.png"))
    (tmp_path / "in" / "b.png").unlink()
    assert runs.test("pix", tmp_path / "in", "--model", "test") == 0
    assert not (runs.folder("pix") / "failures.txt").exists()


def test_a_folder_that_takes_no_results_is_one_line(runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    (tmp_path / "file").touch()
    runs.results = tmp_path / "file"
    for words in ([], ["--tta", "x8", "--time_budget", "1m"]):
        with pytest.raises(UserError, match=r"file/pix/test_latest(_x8)?: cannot be written"):
            runs.test("pix", aligned, *words)


def test_a_disk_that_fills_up_keeps_what_is_done_and_is_one_line(
    runs: Runs, aligned: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")

    def full(path: pathlib.Path, image: np.ndarray) -> None:
        if path.name.startswith("01"):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_image(path, image)

    monkeypatch.setattr(report, "write_image", full)
    with pytest.raises(UserError, match=r"test_latest: cannot .* \(No space left on device\).* --skip_existing"):
        runs.test("pix", aligned)
    assert "00_fake_B.png" in runs.images("pix")
    monkeypatch.undo()
    assert runs.test("pix", aligned, "--skip_existing") == 0


def test_names_that_are_too_long_or_no_utf8_cost_their_own_image_alone(
    runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix", "--norm", "instance")
    write_image(tmp_path / "in" / "test" / "ok.png", noise((16, 32, 3)))
    content = (tmp_path / "in" / "test" / "ok.png").read_bytes()
    long, odd, bad = "x" * 250, os.fsdecode(b"odd\xfe"), os.fsdecode(b"bad\xff")
    try:
        for name, data in ((long, content), (odd, content), (bad, b"no image")):
            (tmp_path / "in" / "test" / f"{name}.png").write_bytes(data)
    except OSError:
        pytest.skip("this file system takes no such names")
    assert runs.test("pix", tmp_path / "in") == 1
    lines = os.fsdecode((runs.folder("pix") / "failures.txt").read_bytes()).splitlines()
    assert bad in lines[0] and f"{long}: too long a name" in lines[1] and len(lines) == 2
    assert odd in os.fsdecode((runs.folder("pix") / "metrics.csv").read_bytes())


def test_an_image_that_does_not_fit_into_memory_is_named(runs: Runs, aligned: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    assert runs.test("pix", aligned, "--max_memory", "1MB") == 1
    lines = (runs.folder("pix") / "failures.txt").read_text().splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(aligned / "test" / f"0{n}.png") for n in (0, 1)]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_an_image_too_large_to_be_read_costs_itself_alone(
    runs: Runs, aligned: pathlib.Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    load = PairedImages.load

    def greedy(images: PairedImages, index: int, generator: torch.Generator) -> Any:
        if index == 0:
            raise error
        return load(images, index, generator)

    monkeypatch.setattr(PairedImages, "load", greedy)
    assert runs.test("pix", aligned) == 1
    assert (runs.folder("pix") / "failures.txt").read_text() == "00: out of memory\n"
    assert "01_fake_B.png" in runs.images("pix")


def test_dropout_left_on_gives_an_uncertainty_map(runs: Runs, aligned: pathlib.Path) -> None:
    runs.make("drops", aligned, "--model", "pix2pix", "--no_dropout", "false", "--init_gain", "0.2")
    assert runs.test("drops", aligned, "--mc_dropout", "3") == 0
    assert runs.images("drops", "test_latest_mc3") == names(["00", "01"], ["real_A", "fake_B", "real_B", "uncertainty"])
    assert read_image(runs.folder("drops", "test_latest_mc3") / "images" / "00_uncertainty.png").any()


def test_a_folder_of_corrupt_images_is_an_error(runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="x.png"):
        runs.test("pix", tmp_path / "bad", "--model", "test")


def test_a_pair_whose_sizes_differ_is_named_before_anything_is_written(
    runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    for place, size in (("a/x", 16), ("b/x", 16), ("a/y", 16), ("b/y", 12)):
        write_image(tmp_path / "two" / "test" / f"{place}.png", noise((size, 16, 3)))
    with pytest.raises(UserError, match="y.png: 16x16 pixels, but its pair"):
        runs.test("pix", tmp_path / "two", "--dir_A", "a", "--dir_B", "b")


def test_an_output_that_would_stay_empty_is_refused(runs: Runs, aligned: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    with pytest.raises(UserError, match="--output out: only with --input"):
        runs.test("pix", aligned, "--output", "out")


def test_a_wrong_network_flag_is_one_clear_line(
    runs: Runs, aligned: pathlib.Path, script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    done = script("test.py", *runs.words("pix", aligned, "--netG", "unet_128"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--netG unet_128" in done.stderr and "--netG resnet_6blocks" in done.stderr


@pytest.fixture
def heeded() -> Iterator[None]:
    """Let Ctrl-C interrupt, also where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
def test_ctrl_c_keeps_what_is_done(
    runs: Runs, aligned: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """It comes while the fourth of six images is translated."""
    runs.make("pix", aligned, "--model", "pix2pix")
    for number in range(6):
        write_image(tmp_path / "many" / f"{number}.png", noise((32, 32, 3)))
    begun: list[Any] = []

    def interrupted(predictor: Any, sample: dict[str, Any]) -> dict[str, torch.Tensor]:
        begun.append(sample)
        if len(begun) == 4:
            signal.raise_signal(signal.SIGINT)
        return translate(predictor, sample)

    monkeypatch.setattr("commands.testing.translate", interrupted)
    assert runs.test("pix", tmp_path / "many", "--model", "test") == 130
    assert "3 of 6 images are kept" in capfd.readouterr().err
    assert [name for name in runs.images("pix") if "fake" in name] == [f"{number}_fake.png" for number in range(3)]
    page = (runs.folder("pix") / "index.html").read_text()
    assert "2_fake.png" in page and "3_fake.png" not in page


# runs that another tool made


def foreign(runs: Runs, network: torch.nn.Module, prefix: str = "") -> None:
    folder = runs.checkpoints / "foreign"
    folder.mkdir(parents=True)
    state = {prefix + key: value for key, value in network.state_dict().items()}
    torch.save(state, folder / "latest_net_G.pth")


@pytest.mark.parametrize(
    ("build", "prefix"),
    [
        (lambda: ResnetGenerator(3, 3, 9, ngf=4, norm="instance", dropout=False), ""),
        (lambda: ResnetGenerator(3, 3, 9, ngf=4, norm="instance", dropout=True), "module."),
        (lambda: ResnetGenerator(1, 1, 6, ngf=4, norm="batch", dropout=True), ""),
        (lambda: UnetGenerator(3, 3, 7, ngf=4, norm="batch"), "module."),
    ],
    ids=["resnet_9blocks", "parallel", "grey", "unet_128"],
)
def test_weights_alone_are_enough(runs: Runs, build: Callable[[], Any], prefix: str, tmp_path: pathlib.Path) -> None:
    network = build()
    foreign(runs, network, prefix)
    write_image(tmp_path / "in" / "x.png", noise((128, 128, 3)))
    assert runs.test("foreign", tmp_path / "in", "--model", "test", "--preprocess", "none") == 0
    result = runs.read("foreign", "x_fake.png")
    assert result.shape[:2] == (128, 128)
    if result.shape[2] == 3 and isinstance(network, ResnetGenerator):
        source = torch.from_numpy(noise((128, 128, 3))).permute(2, 0, 1)[None] / 127.5 - 1
        expected = (network.eval()(source)[0].permute(1, 2, 0).detach().numpy() + 1) * 127.5
        assert np.abs(result - expected).max() <= 0.51


def test_a_foreign_run_keeps_16_bit(runs: Runs, tmp_path: pathlib.Path) -> None:
    foreign(runs, ResnetGenerator(1, 1, 9, ngf=4))
    write_image(tmp_path / "in" / "x.png", noise((16, 20, 1), 4096, "uint16"))
    assert runs.test("foreign", tmp_path / "in", "--model", "test", "--preprocess", "none") == 0
    assert runs.read("foreign", "x_fake.png").dtype == np.uint16


def test_the_default_preprocessing_gives_crop_size(runs: Runs, tmp_path: pathlib.Path) -> None:
    foreign(runs, ResnetGenerator(3, 3, 6, ngf=4))
    write_image(tmp_path / "in" / "x.png", noise((40, 30, 3)))
    assert runs.test("foreign", tmp_path / "in", "--model", "test", "--crop_size", 64) == 0
    assert runs.read("foreign", "x_fake.png").shape == (64, 64, 3)


def test_a_wrong_flag_for_foreign_weights_is_one_clear_line(runs: Runs, tmp_path: pathlib.Path) -> None:
    foreign(runs, ResnetGenerator(3, 3, 9, ngf=4))
    write_image(tmp_path / "in" / "x.png", noise((16, 16, 3)))
    with pytest.raises(UserError, match="latest_net_G.pth: not the architecture.*leave out --netG") as raised:
        runs.test("foreign", tmp_path / "in", "--model", "test", "--netG", "unet_128")
    assert "\n" not in str(raised.value)


def test_the_page_says_which_arithmetic_made_its_images(runs: Runs, aligned: pathlib.Path) -> None:
    runs.make("pix", aligned, "--model", "pix2pix")
    for precision in ("fp32", "bf16"):
        assert runs.test("pix", aligned, "--precision", precision) == 0
        assert f"epoch latest, {precision}</title>" in (runs.folder("pix") / "index.html").read_text()
