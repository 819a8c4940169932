"""Which device --gpu_ids means, with and without an accelerator."""

from __future__ import annotations

import pytest
import torch

from util.device import arithmetic, choose_device
from util.errors import UserError


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pretend that this machine has two GPUs."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    return 2


def test_minus_one_is_the_cpu_in_silence(gpus: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert choose_device("-1") == torch.device("cpu")
    assert capsys.readouterr().err == ""


def test_without_a_gpu_the_cpu_is_used_and_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert choose_device("0") == torch.device("cpu")
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "CPU" in message


def test_a_number_names_a_gpu(gpus: int) -> None:
    assert choose_device("0") == torch.device("cuda", 0)
    assert choose_device("1") == torch.device("cuda", 1)


@pytest.mark.parametrize(("ids", "part"), [("2", "2 GPU"), ("0,1", "one GPU"), ("gpu", "number"), ("1.5", "number")])
def test_impossible_gpus_are_refused_in_one_line(gpus: int, ids: str, part: str) -> None:
    with pytest.raises(UserError, match=part) as caught:
        choose_device(ids)
    assert f"--gpu_ids {ids}" in str(caught.value)


def test_arithmetic_is_autocast_only_when_asked() -> None:
    x = torch.ones(2, 2)
    with arithmetic(torch.device("cpu"), "fp32"):
        assert (x @ x).dtype == torch.float32
    with arithmetic(torch.device("cpu"), "bf16"):
        assert (x @ x).dtype == torch.bfloat16
