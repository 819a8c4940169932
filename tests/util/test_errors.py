"""What a script's end looks like from outside."""

from __future__ import annotations

import errno

import pytest

from util.errors import UserError, did_you_mean, one_line, run_script


def _exit(main: object) -> int:
    with pytest.raises(SystemExit) as caught:
        run_script(main)  # type: ignore[arg-type]
    return caught.value.code  # type: ignore[return-value]


def _raise(error: BaseException) -> object:
    def main() -> int:
        raise error

    return main


def test_return_values_become_exit_codes() -> None:
    assert _exit(lambda: None) == 0
    assert _exit(lambda: 0) == 0
    assert _exit(lambda: 143) == 143


def test_a_user_error_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit(_raise(UserError("--x 1: use 2"))) == 2
    assert capsys.readouterr() == ("", "error: --x 1: use 2\n")


def test_ctrl_c_and_a_closed_pipe_end_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit(_raise(KeyboardInterrupt())) == 130
    assert _exit(_raise(BrokenPipeError())) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_programming_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_script(lambda: 1 // 0)


def test_did_you_mean_names_the_nearest_or_nothing() -> None:
    assert did_you_mean("batch_sise", ["batch_size", "crop_size"]) == "; did you mean batch_size?"
    assert did_you_mean("zzz", ["batch_size"]) == ""


def test_one_line_says_what_the_system_said_first() -> None:
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError()) == "ValueError"
    with pytest.raises(RuntimeError) as caught:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("enforce fail") from None
    assert one_line(caught.value) == "No space left on device"
