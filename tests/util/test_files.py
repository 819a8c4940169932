"""Files are whole or as they were."""

from __future__ import annotations

import os
import pathlib
import stat

import pytest

from util.files import atomic_file, write_text


def test_the_new_content_appears_only_at_the_end(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "deep" / "er" / "file.txt"
    with atomic_file(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["file.txt"]


def test_a_folder_that_has_vanished_is_not_made_anew(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "gone" / "file", make_folder=False):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_crash_inside_leaves_the_old_file_and_no_rubbish(tmp_path: pathlib.Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old ü")
    with pytest.raises(error), atomic_file(path) as file:
        file.write(b"half of the new")
        raise error
    assert path.read_text(encoding="utf-8") == "old ü"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX")
def test_others_may_read_the_file(tmp_path: pathlib.Path) -> None:
    write_text(tmp_path / "file.txt", "text")
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644


def test_a_name_of_255_bytes_in_any_script_can_be_written(tmp_path: pathlib.Path) -> None:
    for name in ("a" * 255, "写" * 85, "🖼" * 63):
        write_text(tmp_path / name, name)
    assert {path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"a" * 255, "写" * 85, "🖼" * 63}
