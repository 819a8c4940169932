"""The folder of a run."""

from __future__ import annotations

import pathlib

import pytest

from training.run_folder import fresh_folder, only_trainer, run_folder
from util.errors import UserError


@pytest.mark.parametrize("name", ["a/b", "/a", "..", ".", "", "a\\b", "../a", "a/"])
def test_names_that_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="without slashes"):
        run_folder("checkpoints", name)


def test_a_plain_name_is_a_folder(tmp_path: pathlib.Path) -> None:
    assert run_folder(str(tmp_path), "run 1.5 ü") == tmp_path / "run 1.5 ü"


def test_a_folder_in_use_is_moved_aside_and_said(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "run"
    for number in range(3):
        fresh_folder(folder)
        assert list(folder.iterdir()) == []
        (folder / "weights").write_text(str(number))
    assert (tmp_path / "deep" / "run.old1" / "weights").read_text() == "0"
    assert (tmp_path / "deep" / "run.old2" / "weights").read_text() == "1"
    messages = capsys.readouterr().err.splitlines()
    assert len(messages) == 2
    assert "run.old2" in messages[1]
    assert "--continue_train" in messages[1]


def test_an_empty_folder_is_used_as_it_is(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    fresh_folder(tmp_path)
    fresh_folder(tmp_path)
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        fresh_folder(tmp_path / "file" / "run")


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path: pathlib.Path) -> None:
    with only_trainer(tmp_path / "runs" / "one"):
        with pytest.raises(UserError, match="another process is training"), only_trainer(tmp_path / "runs" / "one"):
            pass
        with only_trainer(tmp_path / "runs" / "two"):
            pass
    with only_trainer(tmp_path / "runs" / "one"):
        pass
