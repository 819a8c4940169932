"""prepare.py split --match and --folds: what is chosen, and that nothing is lost or seen twice."""

from __future__ import annotations

import itertools
import pathlib
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

import prepare
from data.folds import fold_of
from data.tools.matching import choose, distance, measure
from data.writers import write_image
from util.errors import UserError


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int | None]:
    """Return a function that runs prepare.py with arguments, in this process."""

    def run(*arguments: object) -> int | None:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
        return prepare.main()

    return run


def listing(folder: pathlib.Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))


def flat(folder: pathlib.Path, levels: list[int], spread: int = 4) -> None:
    """Write one image a level, ``spread`` above and below it."""
    for number, level in enumerate(levels):
        image = np.full((4, 4), level, np.uint8)
        image[::2] += spread
        image[1::2] -= spread
        write_image(folder / f"{number:02}.png", image)


def test_moments_leave_out_what_is_not_finite(tmp_path: pathlib.Path) -> None:
    image = np.array([[1.0, np.nan], [3.0, np.inf]], np.float32)
    write_image(tmp_path / "a.tif", image)
    (moments,) = measure([tmp_path / "a.tif"])
    assert moments.ravel().tolist() == [2.0, 4.0, 10.0]


def test_the_choice_is_the_best_of_all_of_that_size() -> None:
    random = np.random.default_rng(0)
    values = random.uniform(0, 1, (10, 20, 2)) * random.uniform(0.1, 2, (10, 1, 2))
    rows = {str(i): np.stack([np.full(2, 20.0), v.sum(0), (v**2).sum(0)]) for i, v in enumerate(values)}
    wanted = rows["2"] + rows["5"] + rows["7"]
    assert sorted(choose(rows, 3, wanted, seed=0)) == ["2", "5", "7"]
    other = rows["1"] * 0.5 + rows["8"]
    found = distance(sum(rows[name] for name in choose(rows, 3, other, seed=0)), other)
    best = min(distance(sum(rows[n] for n in names), other) for names in itertools.combinations(rows, 3))
    assert found <= 1.5 * best
    assert choose(rows, 3, other, seed=0) == choose(dict(reversed(rows.items())), 3, other, seed=0)


def test_val_looks_as_the_test_images_do(call, tmp_path: pathlib.Path, capsys) -> None:
    flat(tmp_path / "in", [20 * i + 10 for i in range(12)])
    flat(tmp_path / "kaggle", [200, 220])
    flags = ("--match", tmp_path / "kaggle", "--val_fraction", 0.17, "--test_fraction", 0)
    call("split", "--dataroot", tmp_path / "in", "--out", tmp_path / "out", *flags)
    assert set(listing(tmp_path / "out/val")) in ({"09.png", "11.png"}, {"10.png", "11.png"})
    assert len(listing(tmp_path / "out/train")) == 10
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "--match: mean 210, standard deviation 10.77"
    by_chance, chosen = (float(line.rpartition(" ")[2]) for line in lines[1:3])
    assert chosen <= by_chance


def test_folds_validate_every_group_once_and_share_the_test_images(call, tmp_path: pathlib.Path, capsys) -> None:
    for number, turn in itertools.product(range(11), range(2)):
        flat(tmp_path / "in" / f"s{number:02}_itr{turn}", [9])
    flags = ("--folds", 3, "--test_fraction", 0.2, "--link", "--group_by", r"s\d+")
    call("split", "--dataroot", tmp_path / "in", "--out", tmp_path / "out", *flags)
    folds = [tmp_path / "out" / f"fold_{number}" for number in (1, 2, 3)]
    held_out = [listing(fold / "val") for fold in folds]
    assert sorted(map(len, held_out)) == [6, 6, 6]
    assert len({name for names in held_out for name in names}) == 18
    for fold, names in zip(folds, held_out, strict=True):
        sources = {name[:3] for name in names}
        assert not sources & {name[:3] for name in listing(fold / "train")}
        assert listing(fold / "test") == listing(folds[0] / "test") and len(listing(fold)) == 22
    assert f"--dataroot {folds[2]}" in capsys.readouterr().out


def test_folds_hold_equally_many_images_where_sources_have_different_numbers() -> None:
    names = [f"s{source}" for source in range(12) for _ in range(1 + source % 5)]
    for seed in range(5):
        folds = fold_of(names, 3, seed)
        assert Counter(folds[name] for name in names) == {1: 11, 2: 11, 3: 11}


def test_split_weighs_sources_by_their_images(call, tmp_path: pathlib.Path) -> None:
    for source, count in enumerate([4, 1, 1, 1, 1]):
        flat(tmp_path / "in" / f"s{source}", [9] * count)
    call("split", "--dataroot", tmp_path / "in", "--folds", 2, "--test_fraction", 0, "--group_by", r"s\d")
    assert [len(listing(tmp_path / f"in_split/fold_{number}/val")) for number in (1, 2)] == [4, 4]


def test_folds_depend_on_names_and_seed_alone() -> None:
    names = [f"n{i}" for i in range(10)]
    assert fold_of(names, 3, 0) == fold_of(reversed(names * 2), 3, 0) != fold_of(names, 3, 1)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--folds", 1), "--folds 1: give 2"),
        (("--folds", 50), "--folds 50: there are only"),
        (("--folds", 2, "--match", "."), "one of the two"),
        (("--match", "nowhere"), "--match nowhere: no such folder"),
        (("--match", "{root}", "--val_fraction", 0), "no val for --match"),
    ],
)
def test_mistakes(call, tmp_path: pathlib.Path, flags: tuple[object, ...], message: str) -> None:
    root = tmp_path / "in"
    flat(root, [10] * 8)
    with pytest.raises(UserError, match=message):
        call("split", "--dataroot", root, *(str(flag).format(root=root) for flag in flags))
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_test_images_of_other_channels_are_named(call, tmp_path: pathlib.Path) -> None:
    flat(tmp_path / "in", [10] * 8)
    write_image(tmp_path / "test/a.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match=r"00\.png: 1 channel\(s\), but .*a\.png has 3"):
        call("split", "--dataroot", tmp_path / "in", "--match", tmp_path / "test")
