"""prepare.py submission: what is converted, what is refused in one line a kind, and equal zips of equal results."""

from __future__ import annotations

import pathlib
import sys
import zipfile

import numpy as np
import pytest

import prepare
from data.readers import read_image
from data.writers import write_image
from util.errors import UserError


@pytest.fixture
def results(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a results folder of test.py with three images of 8 x 12 pixels, 16 bit."""
    for number in range(3):
        for label, value in (("fake_B", 1000 * number), ("real_A", 7)):
            path = tmp_path / f"results/run/test_latest/images/s{number}_{label}.png"
            write_image(path, np.full((8, 12, 1), value, np.uint16))
    return tmp_path / "results/run/test_latest"


def submit(monkeypatch: pytest.MonkeyPatch, results: pathlib.Path, *words: object) -> dict[str, np.ndarray]:
    """Run the command and return the images of the zip by name."""
    out = results.parent / "out.zip"
    command = ["prepare.py", "submission", "--results", results, "--out", out, *words]
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    prepare.main()
    with zipfile.ZipFile(out) as archive:
        archive.extractall(results.parent / "unpacked")
        return {name: read_image(results.parent / "unpacked" / name) for name in archive.namelist()}


def test_results_get_their_own_names_and_stay_as_they_are(
    results: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = submit(monkeypatch, results)
    assert list(images) == ["s0.png", "s1.png", "s2.png"]
    assert all(image.dtype == np.uint16 and image.shape == (8, 12, 1) for image in images.values())
    assert images["s2.png"][0, 0, 0] == 2000


def test_only_zip_files_are_written(results: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"--out .*out\.tar: .* ends with \.zip"):
        submit(monkeypatch, results, "--out", results.parent / "out.tar")
    assert not (results.parent / "out.tar").exists()


def test_equal_results_are_an_equal_zip(results: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(monkeypatch, results)
    first = (results.parent / "out.zip").read_bytes()
    for path in sorted((results / "images").iterdir(), reverse=True):
        write_image(path, read_image(path))
    submit(monkeypatch, results)
    assert (results.parent / "out.zip").read_bytes() == first


def test_the_sample_tells_names_size_and_depth(
    results: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write_image(tmp_path / f"sample/depth/s{number}.tif", np.zeros((4, 6, 1), np.uint8))
    for number in range(3):
        (results / f"images/s{number}_fake_B.png").rename(results / f"images/depth_s{number}_fake_B.png")
        (results / "images/depth").mkdir(exist_ok=True)
        (results / f"images/depth_s{number}_fake_B.png").rename(results / f"images/depth/s{number}_fake_B.png")
    words = ["--expected", tmp_path / "sample", "--size", "sample", "--bit_depth", 8, "--factor", 0.1]
    images = submit(monkeypatch, results, *words)
    assert list(images) == [f"depth/s{number}.tif" for number in range(3)]
    assert [int(image.max()) for image in images.values()] == [0, 100, 200]
    assert all(image.shape == (4, 6, 1) and image.dtype == np.uint8 for image in images.values())


def test_full_range_becomes_full_range(results: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(results / "images/s0_fake_B.png", np.full((8, 12, 1), 65535, np.uint16))
    images = submit(monkeypatch, results, "--bit_depth", 8, "--format", "npy")
    assert images["s0.npy"].max() == 255 and images["s2.npy"].max() == 8


def test_each_kind_of_problem_is_one_line_and_nothing_is_written(
    results: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "sample.zip"
    with zipfile.ZipFile(sample, "w") as archive:
        for name, shape in (("s0", (8, 12, 3)), ("s1", (4, 6, 3)), ("s7", (8, 12, 3)), ("s8", (8, 12, 3))):
            path = tmp_path / f"{name}.png"
            write_image(path, np.zeros(shape, np.uint8))
            archive.write(path, path.name)
    with pytest.raises(UserError, match=r"6 kind\(s\) of problems, so .*out\.zip is not written"):
        submit(monkeypatch, results, "--expected", sample, "--bit_depth", 16, "--factor", 100)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "missing: 2 of 4 images, first s7.png",
        "surplus: 1 of 3 images, first s2",
        "wrong depth, uint16 in place of uint8 (--bit_depth): 2 of 2 images, first s0.png",
        "wrong number of channels, 1 in place of 3: 2 of 2 images, first s0.png",
        "values beyond uint16: 1 of 2 images, first s1.png",
        "wrong size, 12x8 in place of 6x4 (--size sample): 1 of 2 images, first s1.png",
    ]
    assert not (results.parent / "out.zip").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("names.csv", "image,score\ns0.png,1\ns1.png,2\ns2.png,3\n"), ("names.txt", "s0\ns1\ns2\n")]
)
def test_lists_of_names(
    name: str, text: str, results: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(text)
    assert list(submit(monkeypatch, results, "--expected", tmp_path / name)) == ["s0.png", "s1.png", "s2.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "fake"], "--label fake: no such images in"),
        (["--size", "12"], "--size 12: give WIDTHxHEIGHT"),
        (["--size", "sample"], "--size sample: --expected names no images"),
        (["--expected", "nowhere.zip"], "--expected nowhere.zip: no such folder or file"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, results: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=message):
        submit(monkeypatch, results, *words)


def test_a_place_that_cannot_be_written_to_is_one_line(results: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results.parent / "file").touch()
    with pytest.raises(UserError, match=r"--out .*file/x\.zip: cannot be written \("):
        submit(monkeypatch, results, "--out", results.parent / "file" / "x.zip")
