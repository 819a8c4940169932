"""Which device --gpu_ids means, with and without an accelerator."""

from __future__ import annotations

import pytest
import torch

from util.compute import ComputeOptions
from util.device import Compute, arithmetic, choose_compute, choose_device
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


def test_what_the_flags_leave_open_is_settled_by_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    fast = choose_compute(ComputeOptions("auto"), cpu)
    assert (fast.precision, fast.channels_last) == ("bf16", True)
    assert fast.line() == "cpu, bf16, channels last: the processor has bf16 units (avx512_bf16)"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {}, raising=False)
    plain = choose_compute(ComputeOptions("auto"), cpu)
    assert (plain.precision, plain.channels_last) == ("fp32", False)
    begun_elsewhere = choose_compute(ComputeOptions("bf16"), cpu)
    assert begun_elsewhere.precision == "bf16"
    assert "no bf16 units; --precision fp32 is faster here" in begun_elsewhere.line()


def test_flags_win_over_what_is_fastest() -> None:
    chosen = choose_compute(ComputeOptions(precision="fp32", channels_last=True), torch.device("cpu"))
    assert (chosen.precision, chosen.channels_last) == ("fp32", True)


@pytest.mark.parametrize("precision", ["fp16", "tf32"])
def test_precisions_that_only_gpus_have_are_refused(precision: str) -> None:
    with pytest.raises(UserError, match=f"--precision {precision} needs an NVIDIA GPU; use bf16, fp32 or auto"):
        choose_compute(ComputeOptions(precision=precision), torch.device("cpu"))


def test_torchrun_gives_each_process_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert choose_device("0") == torch.device("cuda", 1)
    assert choose_device("-1") == torch.device("cpu")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="torchrun --nproc_per_node: more processes than GPUs; this machine has 2"):
        choose_device("0")


@pytest.mark.parametrize("layout", [True, False])
def test_modules_and_images_get_the_memory_layout(layout: bool) -> None:
    compute = Compute(torch.device("cpu"), channels_last=layout)
    network = torch.nn.Conv2d(3, 4, 3)
    compute.place(network)
    image = compute.image(torch.zeros(2, 3, 5, 5))
    assert network.weight.is_contiguous(memory_format=torch.channels_last) == layout
    assert image.is_contiguous(memory_format=torch.channels_last) == layout
    assert compute.image(torch.zeros(3)).shape == (3,)
