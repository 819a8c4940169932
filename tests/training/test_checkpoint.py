"""The state file: verified, replaced whole, with the one before it as a fallback, never running code."""

from __future__ import annotations

import errno
import os
import pathlib
import pickle
import zipfile

import pytest
import torch

from training.checkpoint import FILE, NEW, PREVIOUS, load_state, remove_unfinished, save_state
from util.errors import UserError


def _save(folder: pathlib.Path, *numbers: int) -> None:
    for number in numbers:
        save_state(folder, {"number": number, "weights": torch.full((1000,), float(number)), "nested": {"a": [1, 2]}})


def _flip(path: pathlib.Path, share: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 1
    path.write_bytes(content)


def test_what_was_saved_comes_back(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 1)
    state = load_state(tmp_path)
    assert state["number"] == 1
    assert torch.equal(state["weights"], torch.ones(1000))
    assert os.listdir(tmp_path) == [FILE]


def test_the_save_before_is_kept(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 1, 2, 3)
    assert sorted(os.listdir(tmp_path)) == sorted([FILE, PREVIOUS])
    assert load_state(tmp_path)["number"] == 3
    (tmp_path / FILE).unlink()
    assert load_state(tmp_path)["number"] == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text"])
def test_a_damaged_file_is_named_and_the_one_before_taken(
    tmp_path: pathlib.Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path, 1, 2)
    path = tmp_path / FILE
    if damage == "flip":
        _flip(path, 0.5)
    else:
        path.write_bytes({"cut": path.read_bytes()[:-300], "empty": b"", "text": b"no weights"}[damage])
    assert load_state(tmp_path)["number"] == 1
    message = capsys.readouterr().err
    assert str(path) in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
def test_one_flipped_bit_among_the_weights_is_detected(tmp_path: pathlib.Path, share: float) -> None:
    _save(tmp_path, 1)
    _flip(tmp_path / FILE, share)
    with pytest.raises(UserError, match="nothing to continue"):
        load_state(tmp_path)


def test_without_a_state_there_is_nothing_to_continue(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="leave out --continue_train"):
        load_state(tmp_path)


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("hostile-was-here",)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_file_with_code_is_refused_and_not_run(
    tmp_path: pathlib.Path, writer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"format": 1, "payload": Hostile()}
    if writer == "torch":
        torch.save(content, tmp_path / FILE)
    else:
        (tmp_path / FILE).write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="nothing to continue"):
        load_state(tmp_path)
    assert not (tmp_path / "hostile-was-here").exists()


@pytest.mark.parametrize("content", [[1, 2], {"format": 99}])
def test_a_file_of_another_kind_is_passed_over(tmp_path: pathlib.Path, content: object) -> None:
    _save(tmp_path, 1, 2)
    torch.save(content, tmp_path / FILE)
    assert load_state(tmp_path)["number"] == 1


def test_a_failing_disk_leaves_the_save_before(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(tmp_path, 1)

    def fail(state: object, file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(UserError, match="No space left.*intact"):
        _save(tmp_path, 2)
    assert load_state(tmp_path)["number"] == 1
    assert os.listdir(tmp_path) == [FILE]


def test_a_vanished_folder_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UserError, match="vanished"):
        _save(tmp_path / "gone", 1)


def test_a_file_that_reads_back_wrong_never_replaces_the_good_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _save(tmp_path, 1)
    real = os.replace

    def replace(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        if str(target).endswith(".new"):
            _flip(pathlib.Path(source), 0.5)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(UserError, match="cannot be saved"):
        _save(tmp_path, 2)
    monkeypatch.undo()
    assert load_state(tmp_path)["number"] == 1


@pytest.mark.skipif(os.name != "posix", reason="limits as on POSIX")
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.99])
def test_a_disk_that_takes_only_a_part_leaves_the_save_before(tmp_path: pathlib.Path, share: float) -> None:
    import resource

    _save(tmp_path, 1)
    size = (tmp_path / FILE).stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size * share), before[1]))
    try:
        with pytest.raises(UserError, match="cannot be saved .* the save before it is intact") as caught:
            _save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert load_state(tmp_path)["number"] == 1
    assert os.listdir(tmp_path) == [FILE]


def test_what_a_kill_left_behind_is_removed_and_nothing_else(tmp_path: pathlib.Path) -> None:
    _save(tmp_path, 1, 2)
    for name in (NEW, ".01234567.state.new.tmp", ".89abcdef.latest_net_G.pth.tmp"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "notes.tmp").write_text("of the user")
    remove_unfinished(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["notes.tmp", FILE, PREVIOUS]


def test_a_packed_file_is_refused_before_it_is_unpacked(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path, 1)
    plain = zipfile.ZipFile(tmp_path / FILE)
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    os.replace(tmp_path / "bomb", tmp_path / FILE)
    with pytest.raises(UserError, match="nothing to continue"):
        load_state(tmp_path)
    assert "compressed" in capsys.readouterr().err


def test_other_arithmetic_is_said(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path, 1)
    load_state(tmp_path)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    assert load_state(tmp_path)["number"] == 1
    assert capsys.readouterr().err == "note: saved with threads 1, now 7: results will differ in the last digits\n"


def test_an_interrupt_inside_a_save_is_no_failing_disk(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _save(tmp_path, 1)

    def interrupted(state: object, file: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("unexpected pos 108864 vs 108752")  # as torch's writer does when it is closed

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _save(tmp_path, 2)
    monkeypatch.undo()
    assert load_state(tmp_path)["number"] == 1
    assert os.listdir(tmp_path) == [FILE]


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "Permission denied"), OSError(errno.EIO, "I/O"), MemoryError()]
)
def test_a_state_that_cannot_be_read_now_is_not_called_damaged(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _save(tmp_path, 1, 2)

    def fail(path: pathlib.Path) -> None:
        raise error

    with monkeypatch.context() as patched, pytest.raises(UserError, match=f"{FILE}: cannot be read now"):
        patched.setattr("training.checkpoint.load_torch_file", fail)
        load_state(tmp_path)
    assert load_state(tmp_path)["number"] == 2
