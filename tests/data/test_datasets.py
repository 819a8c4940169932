"""Layouts, pairing, direction, splits, channels and the errors of the data sets."""

from __future__ import annotations

import os
import pathlib
import unicodedata
from typing import Any

import numpy as np
import pytest
import torch

from data import DATASETS
from data.common import CommonDataOptions
from data.listing import split_names
from data.readers import read_image
from data.sample import Side
from data.transforms import Geometry
from data.value_range import ValueRange, as_dtype
from data.writers import FileFormat, write_image
from util.errors import UserError

RNG = np.random.default_rng(0)
ROOT = pathlib.Path(__file__).resolve().parents[2]


def _image(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def _open(mode: str, root: pathlib.Path, *, train: bool = False, ranges: Any = None, **flags: Any) -> Any:
    own = {"sem_domain": flags.pop("sem_domain")} if "sem_domain" in flags else {}
    common = CommonDataOptions(**({"dataroot": str(root), "preprocess": "none"} | flags))
    return DATASETS.get(mode)(DATASETS.options(mode)(**own), common, train=train, ranges=ranges)


def _load(dataset: Any, index: int = 0, seed: int = 0) -> dict[str, Any]:
    return dataset.load(index, torch.Generator().manual_seed(seed))


def _values(dataset: Any, sample: dict[str, Any], side: str) -> np.ndarray:
    pixels = dataset.ranges[side].restore(sample[side].permute(1, 2, 0))
    return as_dtype(pixels, dataset.formats[side].dtype)


@pytest.fixture
def joined(tmp_path: pathlib.Path) -> pathlib.Path:
    for phase, count in (("train", 4), ("test", 2)):
        for index in range(count):
            write_image(tmp_path / phase / f"{index}.png", _image(9, 22, 3))
    return tmp_path


@pytest.fixture
def folders(tmp_path: pathlib.Path) -> pathlib.Path:
    for index in range(20):
        write_image(tmp_path / f"input/sub/{index}.png", _image(8, 10, 1))
        write_image(tmp_path / f"target/sub/{index}.tif", _image(8, 10, 1, dtype="uint16"))
    return tmp_path


def test_halves_of_one_image_and_direction(joined: pathlib.Path) -> None:
    image = read_image(joined / "train/0.png")
    for direction, order in (("AtoB", "AB"), ("BtoA", "BA")):
        dataset = _open("aligned", joined, direction=direction)
        sample = _load(dataset)
        assert len(dataset) == 4 and sample["A"].dtype == torch.float32
        np.testing.assert_array_equal(_values(dataset, sample, order[0]), image[:, :11])
        np.testing.assert_array_equal(_values(dataset, sample, order[1]), image[:, 11:])
        assert sample["A_paths"] == str(joined / "train/0.png") and sample["names"] == "0"


def test_training_crops_and_mirrors_both_halves_alike(tmp_path: pathlib.Path) -> None:
    half = _image(20, 20, 3)
    write_image(tmp_path / "train/a.png", np.concatenate([half, half], axis=1))
    dataset = _open("aligned", tmp_path, train=True, preprocess="resize_and_crop", load_size=24, crop_size=16)
    samples = [_load(dataset, seed=seed) for seed in range(8)]
    assert all(torch.equal(s["A"], s["B"]) and s["A"].shape == (3, 16, 16) for s in samples)
    assert not torch.equal(samples[0]["A"], samples[1]["A"])
    assert torch.equal(samples[3]["A"], _load(dataset, seed=3)["A"]) and samples[3]["key"] == 3


def test_phase_and_max_dataset_size(joined: pathlib.Path) -> None:
    assert len(_open("aligned", joined, phase="test")) == 2
    assert _open("aligned", joined, max_dataset_size=3).names == ["0", "1", "2"]
    with pytest.raises(UserError, match=r"val: no such folder; .* holds test/, train/"):
        _open("aligned", joined, phase="val")


def test_an_odd_width_is_one_clear_line(joined: pathlib.Path) -> None:
    write_image(joined / "train/odd.png", _image(9, 21, 3))
    with pytest.raises(UserError, match=r"odd\.png: 21 pixels wide, which is odd"):
        _open("aligned", joined)


def test_a_damaged_file_is_named_when_opened_or_read(joined: pathlib.Path) -> None:
    whole = (joined / "train/2.png").read_bytes()
    (joined / "train/2.png").write_bytes(whole[:60])
    with pytest.raises(UserError, match=r"2\.png.*truncated"):
        _load(_open("aligned", joined), 2)
    (joined / "train/2.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"2\.png: the file is empty"):
        _open("aligned", joined, train=True)
    assert _load(_open("aligned", joined), 1)["names"] == "1"  # testing goes on without it


def test_two_folders_are_paired_by_name_and_keep_their_depth(folders: pathlib.Path) -> None:
    flags = {"dir_A": "input", "dir_B": "target", "input_nc": 1, "output_nc": 1}
    dataset = _open("aligned", folders, **flags, value_range="dtype")
    sample = _load(dataset, 3)
    np.testing.assert_array_equal(_values(dataset, sample, "A"), read_image(pathlib.Path(sample["A_paths"])))
    np.testing.assert_array_equal(_values(dataset, sample, "B"), read_image(pathlib.Path(sample["B_paths"])))
    assert dataset.formats["B"].dtype == "uint16" and dataset.formats["B"].suffix == ".png"
    assert dataset.ranges == {"A": ValueRange(0, 255), "B": ValueRange(0, 65535)}
    assert dataset.names[3] == sample["names"] and sample["names"].startswith("sub/")


def test_the_split_is_seeded_disjoint_and_complete(folders: pathlib.Path) -> None:
    flags = {"dir_A": "input", "dir_B": str(folders / "target"), "input_nc": 1, "output_nc": 1, "val_fraction": 0.25}
    train, test = (_open("aligned", folders, phase=phase, **flags).names for phase in ("train", "test"))
    assert len(train) + len(test) == 20 and 1 <= len(test) <= 10 and not set(train) & set(test)
    assert _open("aligned", folders, phase="test", **flags).names == test
    assert _open("aligned", folders, phase="test", **flags, split_seed=1).names != test
    unpaired = _open("unaligned", folders, phase="test", **flags)
    assert unpaired.names == test


@pytest.mark.parametrize("seed", range(3))
def test_new_files_move_no_old_ones_between_the_phases(seed: int) -> None:
    names = [f"a/{index}" for index in range(2000)]
    few, all_of_them = (split_names(chosen, 0.1, seed, "test") for chosen in (names[:500], names))
    assert few == [name for name in all_of_them if name in names[:500]]
    assert 150 <= len(all_of_them) <= 250
    assert sorted(all_of_them + split_names(names, 0.1, seed, "train")) == sorted(names)
    assert len(split_names(names[:3], 1e-9, seed, "test")) == len(split_names(names[:3], 1.0, seed, "train")) == 1


def test_no_split_allowed_gives_the_command(folders: pathlib.Path) -> None:
    with pytest.raises(UserError, match=f"python prepare.py split --dataroot {folders}"):
        _open("aligned", folders, dir_A="input", dir_B="target", val_fraction=0.0)


@pytest.mark.parametrize("layout", ["{phase}/{name}", "{name}/{phase}"])
def test_phases_inside_or_outside_the_named_folders(tmp_path: pathlib.Path, layout: str) -> None:
    for phase, count in (("train", 3), ("test", 1)):
        for name in ("in", "out"):
            for index in range(count):
                write_image(tmp_path / layout.format(phase=phase, name=name) / f"{index}.png", _image(4, 4, 3))
    assert len(_open("aligned", tmp_path, dir_A="in", dir_B="out")) == 3
    assert len(_open("aligned", tmp_path, dir_A="in", dir_B="out", phase="test")) == 1
    with pytest.raises(UserError, match="no such folder"):
        _open("aligned", tmp_path, dir_A="in", dir_B="out", phase="val")


def test_pairs_that_do_not_match_are_refused(folders: pathlib.Path) -> None:
    flags = {"dir_A": "input", "dir_B": "target", "input_nc": 1, "output_nc": 1}
    with pytest.raises(UserError, match="give both"):
        _open("aligned", folders, dir_A="input")
    write_image(folders / "target/sub/9.tif", _image(8, 11, 1, dtype="uint16"))
    with pytest.raises(UserError, match=r"9\.png: 10x8 pixels, but its pair .*9\.tif has 11x8"):
        _open("aligned", folders, **flags)
    (folders / "target/sub/9.tif").unlink()
    with pytest.raises(UserError, match=r"9\.png: no 'sub/9' in .*target \(1 of 20"):
        _open("aligned", folders, **flags)
    write_image(folders / "input/sub/8.tif", _image(8, 10, 1))
    with pytest.raises(UserError, match="same name; keep one"):
        _open("aligned", folders, **flags)


def test_an_accent_pairs_however_it_is_written(tmp_path: pathlib.Path) -> None:
    name = "caf\u00e9"
    for folder, form in (("input", "NFD"), ("target", "NFC")):
        write_image(tmp_path / folder / f"{unicodedata.normalize(form, name)}.png", _image(8, 10, 3))
    assert _open("aligned", tmp_path, dir_A="input", dir_B="target", phase="all").names == [name]


def test_mixed_depths_in_one_side_are_refused(folders: pathlib.Path) -> None:
    write_image(folders / "target/sub/9.tif", _image(8, 10, 1))
    with pytest.raises(UserError, match="one depth"):
        _open("aligned", folders, dir_A="input", dir_B="target", input_nc=1, output_nc=1)


@pytest.fixture
def domains(tmp_path: pathlib.Path) -> pathlib.Path:
    for folder, count in (("trainA", 3), ("trainB", 5), ("testA", 2), ("testB", 3)):
        for index in range(count):
            write_image(tmp_path / folder / f"{folder}{index}.png", np.full((6, 8, 3), index, np.uint8))
    return tmp_path


def test_unpaired_domains_of_unequal_length(domains: pathlib.Path) -> None:
    dataset = _open("unaligned", domains, train=True)
    seen = [_load(dataset, index, seed) for seed in range(20) for index in range(5)]
    assert len(dataset) == 5 and dataset.names[4] == "trainA1"
    assert [pathlib.Path(s["A_paths"]).stem for s in seen[:5]] == [f"trainA{i % 3}" for i in range(5)]
    assert {pathlib.Path(s["B_paths"]).stem for s in seen} == {f"trainB{i}" for i in range(5)}
    test = _open("unaligned", domains, phase="test")
    assert [pathlib.Path(_load(test, i, seed=9)["B_paths"]).stem for i in range(3)] == ["testB0", "testB1", "testB2"]
    serial = _open("unaligned", domains, train=True, serial_batches=True, direction="BtoA")
    assert [pathlib.Path(_load(serial, i)["A_paths"]).stem for i in range(5)] == [f"trainB{i}" for i in range(5)]


def test_missing_and_empty_folders_say_what_is_there(domains: pathlib.Path) -> None:
    with pytest.raises(UserError, match=r"valA: no such folder; expected .*--dir_A.* holds testA/, testB/, trainA/"):
        _open("unaligned", domains, phase="val")
    (domains / "valA").mkdir()
    (domains / "valA/notes.txt").write_text("x")
    with pytest.raises(UserError, match=r"valA: no images in it; expected .* holds notes.txt"):
        _open("unaligned", domains, phase="val")
    with pytest.raises(UserError, match="no such folder"):
        _open("unaligned", domains / "nowhere")
    with pytest.raises(UserError, match="--dataroot is missing"):
        DATASETS.get("unaligned")(DATASETS.options("unaligned")(), CommonDataOptions(), train=True)


def test_single_walks_subfolders_in_order_and_skips_hidden_files(tmp_path: pathlib.Path) -> None:
    for name in ("b/same.png", "a/same.png", "a/same.tif", ".hidden.png", ".cache/x.png", "c.PNG"):
        write_image(tmp_path / name, _image(4, 5, 3))
    dataset = _open("single", tmp_path)
    assert dataset.names == ["a/same_png", "a/same_tif", "b/same", "c"]
    sample = _load(dataset, 3)
    assert set(sample) == {"A", "A_paths", "names", "key"}
    assert _open("single", tmp_path / "c.PNG").names == ["c"]


def test_links_to_folders_are_followed_but_not_round_and_round(tmp_path: pathlib.Path) -> None:
    write_image(tmp_path / "elsewhere/scans/x.png", _image(4, 5, 3))
    write_image(tmp_path / "data/own/y.png", _image(4, 5, 3))
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/own/up").symlink_to(tmp_path / "data")
    (tmp_path / "data/gone.png").symlink_to(tmp_path / "nowhere.png")
    assert _open("single", tmp_path / "data").names == ["linked/scans/x", "own/y"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: pathlib.Path) -> None:
    write_image(tmp_path / "data/closed/x.png", _image(4, 5, 3))
    (tmp_path / "data/closed").chmod(0)
    try:
        with pytest.raises(UserError, match=r"data/closed: its files cannot be listed"):
            _open("single", tmp_path / "data")
    finally:
        (tmp_path / "data/closed").chmod(0o755)


def test_a_flat_folder_of_joined_images_is_split(tmp_path: pathlib.Path) -> None:
    for index in range(10):
        write_image(tmp_path / f"{index}.png", _image(4, 8, 3))
    train, test = (_open("aligned", tmp_path, phase=phase).names for phase in ("train", "test"))
    assert train and test and sorted(train + test) == [str(i) for i in range(10)]


@pytest.mark.parametrize(("have", "want"), [(1, 3), (3, 1), (4, 3), (2, 1)])
def test_channels_are_fitted(tmp_path: pathlib.Path, have: int, want: int) -> None:
    image = _image(4, 4, have)
    write_image(tmp_path / ("a.png" if have != 2 else "a.tif"), image)
    dataset = _open("single", tmp_path, input_nc=want)
    values = _values(dataset, _load(dataset), "A")
    expected = np.rint(image @ [0.299, 0.587, 0.114])[..., None] if (have, want) == (3, 1) else image[..., :want]
    np.testing.assert_array_equal(values, np.broadcast_to(expected, values.shape))


def test_alpha_is_left_out_with_a_word_once(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        write_image(tmp_path / f"{name}.png", _image(4, 4, 4))
    dataset = _open("single", tmp_path)
    for index in (0, 1):
        _load(dataset, index)
    assert capsys.readouterr().err.count("alpha channel is left out") == 1


def test_impossible_channels_name_file_and_flag(tmp_path: pathlib.Path) -> None:
    write_image(tmp_path / "a.tif", _image(4, 4, 7))
    with pytest.raises(UserError, match=r"a\.tif: 7 channels, but --input_nc is 3; set --input_nc 7"):
        _load(_open("single", tmp_path))
    assert _load(_open("single", tmp_path, input_nc=7))["A"].shape == (7, 4, 4)


def test_ranges_come_from_the_training_split_and_saved_ones_win(tmp_path: pathlib.Path) -> None:
    for phase, level in (("train", 1000), ("test", 5000)):
        for letter in "AB":
            write_image(tmp_path / f"{phase}{letter}/a.png", np.full((4, 4, 1), level, np.uint16))
    flags = {"phase": "test", "input_nc": 1, "output_nc": 1}
    dataset = _open("unaligned", tmp_path, **flags)
    assert dataset.ranges["A"] == ValueRange(999.5, 1000.5)
    saved = {"A": ValueRange(0, 9), "B": ValueRange(0, 5)}
    assert _open("unaligned", tmp_path, **flags, ranges=saved).ranges == saved
    assert _open("unaligned", tmp_path, **flags, value_range="dtype/2,8").ranges == {
        "A": ValueRange(0, 65535),
        "B": ValueRange(2, 8),
    }


def test_ranges_follow_the_direction(folders: pathlib.Path) -> None:
    flags = {"dir_A": "input", "dir_B": "target", "input_nc": 1, "output_nc": 1, "direction": "BtoA"}
    dataset = _open("aligned", folders, **flags)
    assert dataset.ranges["B"] == ValueRange(0, 255) and dataset.ranges["A"].high > 60_000


@pytest.mark.parametrize("mode", ["aligned", "unaligned"])
def test_non_finite_pixels_of_either_side_are_masked(tmp_path: pathlib.Path, mode: str) -> None:
    depth = np.linspace(0, 1, 36, dtype=np.float32).reshape(6, 6, 1)
    holes = depth.copy()
    holes[2, 3] = np.nan
    flags = {"dir_A": "in", "dir_B": "out", "input_nc": 1, "output_nc": 1, "value_range": "dtype"}
    for phase, images in (("train", (depth, holes)), ("test", (holes, depth))):
        for folder, image in zip(("in", "out"), images, strict=True):
            write_image(tmp_path / phase / folder / "a.tif", image)
    for phase, masked, whole in (("train", "B", "A"), ("test", "A", "B")):
        sample = _load(_open(mode, tmp_path, phase=phase, **flags))
        mask = sample[f"{masked}_mask"]
        assert f"{whole}_mask" not in sample
        assert mask.shape == (1, 6, 6) and mask[0, 2, 3] == 0 and mask.sum() == 35
        assert sample[masked][0, 2, 3] == -1 and torch.isfinite(sample[masked]).all()


@pytest.mark.parametrize("size", [(37, 41), (90, 90), (64, 200)])
def test_a_hole_leaves_nothing_in_the_pixels_that_stay_when_resized(size: tuple[int, int]) -> None:
    image = np.full((64, 64, 1), 0.8, np.float32)
    image[np.random.default_rng(0).random((64, 64)) < 0.01] = np.nan
    side = Side("--output_nc", 1, ValueRange(0, 1), FileFormat("float32", 1))
    values, mask = side.cut(side.prepare(image, pathlib.Path("a.tif"), size), Geometry())
    assert mask is not None and 0.05 < mask.mean() < 1
    assert (values[mask > 0] - 0.6).abs().max() < 2e-3


@pytest.fixture
def sem(tmp_path: pathlib.Path) -> pathlib.Path:
    for phase in ("train", "test"):
        for hole in ("hole_012", "hole_013"):
            write_image(tmp_path / phase / f"depth/{hole}.png", _image(6, 8, 1, dtype="uint16"))
            for turn in range(2):
                write_image(tmp_path / phase / f"sem/{hole}_itr{turn}.png", _image(6, 8, 1))
        write_image(tmp_path / phase / "real_sem/r0.png", _image(7, 9, 1))
    return tmp_path


def test_sem_images_share_the_depth_map_their_name_begins_with(sem: pathlib.Path) -> None:
    dataset = _open("sem_depth", sem, input_nc=1, output_nc=1)
    sample = _load(dataset, 3)
    assert len(dataset) == 4 and sample["names"] == "hole_013_itr1"
    assert sample["B_paths"] == str(sem / "train/depth/hole_013.png")
    write_image(sem / "train/sem/hole_99_itr0.png", _image(6, 8, 1))
    with pytest.raises(UserError, match="hole_99_itr0.png: no depth map"):
        _open("sem_depth", sem, input_nc=1, output_nc=1)


def test_the_real_sem_domain_is_unpaired(sem: pathlib.Path) -> None:
    dataset = _open("sem_depth", sem, input_nc=1, output_nc=1, sem_domain="real", train=True)
    sample = _load(dataset)
    assert len(dataset) == 2 and dataset.names == ["r0", "r0"]
    assert sample["A"].shape == (1, 7, 9) and "depth" in sample["B_paths"]


def test_sem_folders_without_phases_are_split_by_depth_map_and_may_have_subfolders(tmp_path: pathlib.Path) -> None:
    for hole in range(12):
        write_image(tmp_path / f"depth/case_1/{hole:02}.png", _image(6, 8, 1, dtype="uint16"))
        for turn in range(3):
            write_image(tmp_path / f"sem/case_1/{hole:02}_itr{turn}.png", _image(6, 8, 1))
    found = {p: _open("sem_depth", tmp_path, phase=p, input_nc=1, output_nc=1).pairs for p in ("train", "test", "all")}
    maps = {phase: {pair.target for pair in pairs} for phase, pairs in found.items()}
    assert not maps["train"] & maps["test"] and len(maps["train"] | maps["test"]) == 12
    assert all(len(pairs) == 3 * len(maps[phase]) for phase, pairs in found.items())
    write_image(tmp_path / "sem/case/1_itr0.png", _image(6, 8, 1))
    write_image(tmp_path / "depth/case.png", _image(6, 8, 1, dtype="uint16"))
    with pytest.raises(UserError, match="1_itr0.png: no depth map"):
        _open("sem_depth", tmp_path, input_nc=1, output_nc=1)


def test_both_sem_domains_give_pairs_and_in_training_a_real_image_with_each(sem: pathlib.Path) -> None:
    flags: dict[str, Any] = {"input_nc": 1, "output_nc": 1, "sem_domain": "both", "no_flip": True}
    dataset = _open("sem_depth", sem, train=True, **flags)
    sample = _load(dataset)
    assert len(dataset) == len(dataset.pairs) == 4 and "U" in dataset.formats
    assert sample["U"].shape == (1, 7, 9) and sample["U_paths"].endswith("real_sem/r0.png")
    np.testing.assert_array_equal(_values(dataset, sample, "U"), read_image(sem / "train/real_sem/r0.png"))
    assert "U" not in _load(_open("sem_depth", sem, **flags))
    assert len(dataset.preparations()) == 5
    write_image(sem / "train/real_sem/r0.png", _image(7, 9, 1, dtype="uint16"))
    with pytest.raises(UserError, match="real_sem: uint16 files"):
        _open("sem_depth", sem, train=True, **flags)


def test_pairs_with_a_folder_of_images_without_targets(joined: pathlib.Path) -> None:
    for index in range(5):
        write_image(joined / f"more/{index}.png", _image(9, 11, 3))
    own = DATASETS.options("semi")(dir_U="more")
    common = CommonDataOptions(dataroot=str(joined), preprocess="none")
    dataset = DATASETS.get("semi")(own, common, train=True)
    drawn = {_load(dataset, seed=seed)["U_paths"] for seed in range(20)}
    assert len(dataset) == 4 and len(drawn) > 2
    assert _load(dataset, seed=3)["U_paths"] == _load(dataset, seed=3)["U_paths"]
    with pytest.raises(UserError, match="--dir_U is missing"):
        _open("semi", joined, train=True)


@pytest.mark.parametrize(
    ("mode", "folder", "size"),
    [("aligned", "paired/facades", (256, 256)), ("unaligned", "unpaired/summer2winter_yosemite", (256, 256))],
)
def test_real_data_opens(mode: str, folder: str, size: tuple[int, int]) -> None:
    root = ROOT.parent / "shared/data" / folder
    if not root.is_dir():
        pytest.skip(f"{root} is not there")
    dataset = _open(mode, root, train=True, preprocess="resize_and_crop")
    sample = _load(dataset, len(dataset) - 1)
    assert sample["A"].shape == sample["B"].shape == (3, *size)
    assert -1 <= sample["A"].min() < sample["A"].max() <= 1
