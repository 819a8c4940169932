"""prepare.py from the command line: demo, split, combine, audit, baselines, and mistakes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from data.readers import read_image
from data.writers import write_image
from util.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[3]


def images(folder: pathlib.Path, names: list[str], dtype: str = "uint8", size: int = 8, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for name in names:
        write_image(folder / name, rng.integers(0, np.iinfo(dtype).max, (size, size), dtype))


def listing(folder: pathlib.Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


# demo


def test_demo_twice_is_instant_and_other_settings_are_refused(call, tmp_path, capsys):
    out = tmp_path / "demo"
    arguments = ("demo", "--out", out, "--count", 2, "--size", 32)
    assert call(*arguments) is None
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert call(*arguments) is None
    assert "already made" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    with pytest.raises(UserError, match="already there"):
        call(*arguments, "--seed", 1)
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]


def test_demo_after_an_interrupted_one(call, tmp_path):
    (tmp_path / ".demo.partial").mkdir()
    (tmp_path / ".demo.partial" / "left.png").write_bytes(b"x")
    call("demo", "--out", tmp_path / "demo", "--count", 1, "--size", 32)
    assert "left.png" not in listing(tmp_path / "demo") and not (tmp_path / ".demo.partial").exists()


@pytest.mark.parametrize("flag", [("--count", 0), ("--size", 8), ("--iterations", 0), ("--seed", -1)])
def test_demo_refuses_impossible_numbers(call, tmp_path, flag):
    with pytest.raises(UserError, match=flag[0]):
        call("demo", "--out", tmp_path / "demo", *flag)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("kind", "flag"),
    [("aerial", ("--iterations", 2)), ("flare", ("--bit_depth", 16)), ("sem_depth", ("--photos", "."))],
)
def test_demo_refuses_flags_of_another_kind(call, tmp_path, kind, flag):
    with pytest.raises(UserError, match=f"{flag[0]}: --kind {kind} does not have it"):
        call("demo", "--out", tmp_path / "demo", "--kind", kind, *flag)


@pytest.mark.parametrize("kind", ["flare", "aerial"])
def test_demo_of_every_kind(call, tmp_path, capsys, kind):
    call("demo", "--out", tmp_path / "demo", "--kind", kind, "--count", 1, "--size", 24)
    assert "3 scenes" in capsys.readouterr().out and f"--kind {kind}" in (tmp_path / "demo/README.txt").read_text()


def test_demo_does_not_touch_a_folder_of_the_users(call, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="already there"):
        call("demo", "--out", tmp_path, "--count", 1, "--size", 32)
    assert listing(tmp_path) == {"mine.txt"}


def test_demo_into_a_place_that_is_no_folder(call, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        call("demo", "--out", tmp_path / "file" / "demo", "--count", 1, "--size", 32)


def test_an_out_that_cannot_be_removed_is_one_line(call, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    for out in (".", tmp_path / "link"):
        with pytest.raises(UserError, match="already there; name another folder"):
            call("demo", "--out", out, "--count", 1, "--size", 32)


# split


def test_split_of_the_working_folder(call, tmp_path, monkeypatch):
    images(tmp_path / "in", [f"{i}.png" for i in range(10)])
    monkeypatch.chdir(tmp_path / "in")
    call("split", "--dataroot", ".")
    assert len(listing(tmp_path / "in_split")) == 10


def test_split_copies_every_image_once_and_keeps_groups(call, tmp_path):
    names = [f"{i:02d}_itr{k}.png" for i in range(20) for k in range(3)]
    images(tmp_path / "in", names)
    call("split", "--dataroot", tmp_path / "in", "--out", tmp_path / "out")
    found = listing(tmp_path / "out")
    assert len(found) == 60 and listing(tmp_path / "in") == set(names)
    phase_of = {}
    for name in found:
        phase, file = name.split("/")
        assert phase_of.setdefault(file[:2], phase) == phase
    assert sorted(list(phase_of.values()).count(phase) for phase in ("train", "val", "test")) == [2, 2, 16]


def test_split_depends_on_the_seed_alone(call, tmp_path):
    images(tmp_path / "in", [f"{i}.png" for i in range(30)])
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        call("split", "--dataroot", tmp_path / "in", "--out", tmp_path / out, "--seed", seed)
    a, b, c = (listing(tmp_path / name) for name in "abc")
    assert a == b and a != c


def test_split_of_pairs_keeps_them_together(call, tmp_path, capsys):
    images(tmp_path / "in/input", [f"{i}_itr{k}.png" for i in range(10) for k in range(2)])
    images(tmp_path / "in/target", [f"{i}.png" for i in range(10)], "uint16")
    call("split", "--dataroot", tmp_path / "in", "--dir_A", "input", "--dir_B", "target", "--link")
    out = tmp_path / "in_split"
    for phase in ("train", "val", "test"):
        sources = {name.split("_")[0] for name in listing(out / phase / "input")}
        assert sources == {name.split(".")[0] for name in listing(out / phase / "target")} != set()
    assert "--dir_A input --dir_B target" in capsys.readouterr().out
    assert os.path.samefile(next((out / "train/target").iterdir()), tmp_path / "in/target" / os.listdir(out / "train/target")[0])  # fmt: skip  # noqa: E501


def test_split_by_a_pattern(call, tmp_path):
    images(tmp_path / "in", [f"wafer{w}_{i}.png" for w in range(6) for i in range(3)])
    call("split", "--dataroot", tmp_path / "in", "--out", tmp_path / "out", "--group_by", r"wafer\d+")
    for phase, wafers in (("train", 4), ("val", 1), ("test", 1)):
        names = listing(tmp_path / "out" / phase)
        assert len(names) == 3 * wafers and len({name.split("_")[0] for name in names}) == wafers


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--val_fraction", 1.5), "share from 0"),
        (("--val_fraction", 0.6, "--test_fraction", 0.6), "too few"),
        (("--val_fraction", "nan"), "share from 0"),
        (("--group_by", "("), "not a regular expression"),
        (("--group_by", "zzz"), "does not match"),
        (("--dir_A", "input"), "give both"),
        (("--dir_A", "/etc", "--dir_B", "b"), "relative to"),
        (("--dir_A", "../a", "--dir_B", "b"), "relative to"),
        (("--dir_A", "a", "--dir_B", "a"), "two different"),
        (("--dir_A", "", "--dir_B", ""), "--dir_A '' is empty"),
        (("--out", "{root}/below"), "inside"),
    ],
)
def test_split_mistakes(call, tmp_path, flags, message):
    root = tmp_path / "in"
    images(root, [f"{i}.png" for i in range(10)])
    before = listing(tmp_path)
    with pytest.raises(UserError, match=message):
        call("split", "--dataroot", root, *(str(flag).format(root=root) for flag in flags))
    assert listing(tmp_path) == before


def test_split_names_the_lone_file_and_never_overwrites(call, tmp_path):
    images(tmp_path / "in/a", ["1.png", "2.png", "3.png"])
    images(tmp_path / "in/b", ["1.png", "2.png"])
    with pytest.raises(UserError, match=r"3\.png: no '3' in"):
        call("split", "--dataroot", tmp_path / "in", "--dir_A", "a", "--dir_B", "b")
    images(tmp_path / "in_split", ["old.png"])
    with pytest.raises(UserError, match="already there"):
        call("split", "--dataroot", tmp_path / "in")
    with pytest.raises(UserError, match="no such folder"):
        call("split", "--dataroot", tmp_path / "nowhere")


# combine


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_combine_keeps_every_value(call, tmp_path, dtype):
    images(tmp_path / "a", ["train/1.png", "test/2.png"], dtype)
    images(tmp_path / "b", ["train/1.png", "test/2.png"], dtype, seed=1)
    call("combine", "--dir_A", tmp_path / "a", "--dir_B", tmp_path / "b", "--out", tmp_path / "ab")
    joined = read_image(tmp_path / "ab/train/1.png")
    assert joined.dtype == dtype and joined.shape == (8, 16, 1)
    assert np.array_equal(joined[:, :8], read_image(tmp_path / "a/train/1.png"))
    assert np.array_equal(joined[:, 8:], read_image(tmp_path / "b/train/1.png"))


def test_combine_grey_with_colour_and_float(call, tmp_path):
    images(tmp_path / "a", ["1.png"])
    write_image(tmp_path / "b/1.png", np.full((8, 8, 3), (1, 2, 3), np.uint8))
    call("combine", "--dir_A", tmp_path / "a", "--dir_B", tmp_path / "b", "--out", tmp_path / "ab")
    joined = read_image(tmp_path / "ab/1.png")
    assert np.array_equal(joined[:, :8], read_image(tmp_path / "a/1.png").repeat(3, 2))
    assert (joined[:, 8:] == (1, 2, 3)).all()
    for side in ("c", "d"):
        write_image(tmp_path / side / "1.tif", np.full((4, 4), 0.25, np.float32))
    call("combine", "--dir_A", tmp_path / "c", "--dir_B", tmp_path / "d", "--out", tmp_path / "cd")
    assert (read_image(tmp_path / "cd/1.tif") == 0.25).all()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (np.zeros((8, 9), np.uint8), "8x8 pixels"),
        (np.zeros((8, 8), np.uint16), "cannot hold both"),
        (np.zeros((8, 8, 4), np.uint8), None),
    ],
)
def test_combine_mismatches(call, tmp_path, other, message):
    write_image(tmp_path / "a/1.png", np.zeros((8, 8, 3 if message is None else 1), np.uint8))
    write_image(tmp_path / "b/1.png", other)
    with pytest.raises(UserError, match=message or "channels"):
        call("combine", "--dir_A", tmp_path / "a", "--dir_B", tmp_path / "b", "--out", tmp_path / "ab")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_combine_missing_partner_and_broken_file(call, tmp_path):
    images(tmp_path / "a", ["1.png", "2.png"])
    images(tmp_path / "b", ["1.png"])
    flags = ("combine", "--dir_A", tmp_path / "a", "--dir_B", tmp_path / "b", "--out", tmp_path / "ab")
    with pytest.raises(UserError, match=r"2\.png: no '2' in"):
        call(*flags)
    (tmp_path / "b/2.png").write_bytes(b"no image at all")
    with pytest.raises(UserError, match=r"b/2\.png: not a readable image"):
        call(*flags)
    assert not (tmp_path / "ab").exists()


# audit


def test_audit_of_good_data(call, tmp_path, capsys):
    call("demo", "--out", tmp_path / "demo", "--count", 2, "--size", 32)
    assert call("audit", "--dataroot", tmp_path / "demo", "--dir_A", "sem", "--dir_B", "depth") == 0
    out = capsys.readouterr().out
    assert "train/depth" in out and "uint16" in out and "32x32" in out and "no problems" in out


def test_audit_finds_every_planted_fault(call, tmp_path, capsys):
    images(tmp_path / "train/a", ["1_itr0.png", "1_itr1.png", "lone.png"])
    images(tmp_path / "train/b", ["1.png", "other.png"], "uint16")
    write_image(tmp_path / "train/a/1_itr0.png", np.arange(54, dtype=np.uint8).reshape(6, 9))
    images(tmp_path / "test/a", ["2.png"], seed=5)
    images(tmp_path / "test/b", ["2.png"], "uint8", seed=6)
    write_image(tmp_path / "test/a/copy.png", read_image(tmp_path / "train/a/lone.png"))
    write_image(tmp_path / "train/b/flat.png", np.full((8, 8), 7, np.uint8))
    (tmp_path / "train/a/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "train/a/empty.png").write_bytes(b"")
    assert call("audit", "--dataroot", tmp_path, "--dir_A", "a", "--dir_B", "b") == 1
    out = capsys.readouterr().out
    for fault in (
        "train/b/flat.png: constant (7 everywhere)",
        "train/b: mixed files: 2 x uint16",
        "the same image as",
        "lone.png: no partner in b",
        "other.png: no partner in a",
        "copy.png: no partner in b",
        "1_itr0.png: 9x6 pixels, its partner",
        "broken.png: not a readable image",
        "empty.png: the file is empty",
    ):
        assert fault in out, fault
    assert "1_itr1.png" not in out and "test/a/2.png" not in out


def test_audit_sees_leaks_between_trainA_and_testA_but_not_within(call, tmp_path, capsys):
    for folder in ("trainA", "testA", "trainB"):
        images(tmp_path / folder, ["1.png"], seed=3)
    assert call("audit", "--dataroot", tmp_path) == 1
    assert capsys.readouterr().out.count("the same image as") == 1


def test_audit_mistakes(call, tmp_path):
    with pytest.raises(UserError, match="no images"):
        call("audit", "--dataroot", tmp_path)
    images(tmp_path, ["1.png"])
    with pytest.raises(UserError, match="no images in a folder sem"):
        call("audit", "--dataroot", tmp_path, "--dir_A", "sem", "--dir_B", "depth")


# baselines and the command line itself


def test_baselines_prints_both_figures(call, tmp_path, capsys):
    call("demo", "--out", tmp_path / "demo", "--count", 6, "--size", 32)
    capsys.readouterr()
    call("baselines", "--dataroot", tmp_path / "demo")
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert lines.keys() == {"mean_map_rmse", "intensity_regression_rmse"}
    assert all(float(value) > 0 for value in lines.values())


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [(["dmo"], "demo"), (["demo", "--sed", "3"], "--seed"), (["demo", "--kind", "sem_dept"], "sem_depth")],
)
def test_misspelt_words_get_the_nearest_and_exit_code_2(arguments, nearest, tmp_path):
    done = subprocess.run([sys.executable, ROOT / "prepare.py", *arguments], capture_output=True, text=True, cwd=tmp_path)  # fmt: skip  # noqa: E501
    assert done.returncode == 2
    assert nearest in done.stderr.rpartition("did you mean")[2]
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_missing_words_are_errors_and_abbreviations_are_off(call):
    for arguments in ([], ["audit"], ["demo", "--count", "many"], ["demo", "--cou", "3"]):
        with pytest.raises(UserError):
            call(*arguments)


def test_help_imports_neither_torch_nor_opencv():
    code = "import sys; sys.argv = ['prepare.py', 'demo', '--help']\nimport prepare\ntry: prepare.main()\n"
    code += "except SystemExit: print([m for m in ('torch', 'cv2', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip().endswith("[]")
