"""A cache folder stays below its limit, and loses first what was used least recently."""

from __future__ import annotations

import os
import pathlib
import time
from types import SimpleNamespace

import pytest
import torch

from data.cache import ImageCache
from data.cache_room import Room, entries

SIZE = 1000


def _fill(folder: pathlib.Path, count: int, age: float = 0.0) -> None:
    for number in range(count):
        path = folder / f"{number:02}" / f"{number}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(SIZE))
        used = time.time() - age + number
        os.utime(path, (used, used))


def _claim(room: Room, size: float) -> bool:
    with room.claim(int(size)) as fits:
        return fits


def _left(folder: pathlib.Path) -> list[str]:
    return sorted(pathlib.Path(path).stem for _, _, path in entries(folder))


def test_the_least_recently_used_go_first_and_only_as_many_as_needed(tmp_path: pathlib.Path) -> None:
    _fill(tmp_path, 5, age=1000)
    room = Room(tmp_path, 5.5 * SIZE)
    assert _claim(room, SIZE // 2) and _left(tmp_path) == list("01234")
    os.utime(tmp_path / "00/0.safetensors")
    assert _claim(room, 2 * SIZE) and _left(tmp_path) == list("034")
    assert room.used() == 5 * SIZE


def test_reading_an_entry_counts_as_use(tmp_path: pathlib.Path) -> None:
    cache = ImageCache(tmp_path, 1e9)
    for key in ("aa", "bb"):
        cache.put(key, {}, {"values": torch.zeros(3)})
        os.utime(tmp_path / key / f"{key}.safetensors", (5, 5))
    assert cache.get("aa") is not None
    assert [pathlib.Path(path).stem for _, _, path in sorted(entries(tmp_path))] == ["bb", "aa"]


def test_what_this_run_uses_is_not_replaced_by_what_does_not_fit(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room = Room(tmp_path, 3 * SIZE)
    time.sleep(0.01)
    _fill(tmp_path, 3)
    assert not _claim(room, SIZE) and not _claim(room, SIZE) and len(_left(tmp_path)) == 3
    assert capsys.readouterr().err.count("is full; images beyond --cache_limit are decoded each time") == 1
    assert Room(tmp_path, 3 * SIZE).limit == 3 * SIZE


def test_a_lost_or_wrong_note_is_replaced_by_a_count(tmp_path: pathlib.Path) -> None:
    _fill(tmp_path, 3, age=1000)
    for note in (None, "much", "99999999"):
        if note is not None:
            (tmp_path / "used_bytes").write_text(note)
        assert _claim(Room(tmp_path, 5 * SIZE), SIZE) and Room(tmp_path, SIZE).used() == 4 * SIZE
        (tmp_path / "used_bytes").unlink()


@pytest.mark.parametrize(("free", "total"), [(6 * SIZE, 100 * SIZE), (5e9 + SIZE, 4e12)], ids=["small", "large"])
def test_a_nearly_full_disk_is_left_to_others(
    free: float,
    total: float,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free, total=total))
    assert _claim(Room(tmp_path, 1e9), SIZE // 2) and not _claim(Room(tmp_path, 1e9), 2 * SIZE)
    assert f"its disk has only {free / 1e9:.1f} GB left" in capsys.readouterr().err


def test_what_a_crash_left_is_cleared_away_after_an_hour(tmp_path: pathlib.Path) -> None:
    _fill(tmp_path, 1)
    for name, age in (("old", 7200), ("new", 10)):
        path = tmp_path / f"00/.{name}.tmp"
        path.write_bytes(bytes(10))
        os.utime(path, (time.time() - age,) * 2)
    list(entries(tmp_path))
    assert [path.name for path in tmp_path.rglob("*.tmp")] == [".new.tmp"]
