"""Memory is known before anything runs, and the plan keeps to it."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import torch
from torch import nn

from inference.settings import InferenceOptions
from inference.tiling import memory
from inference.tiling import runner as running
from inference.tiling.memory import Budget, LiveBytes, budget_of, free_memory, human, parse_memory
from inference.tiling.passes import make_passes, reach
from inference.tiling.plan import Needs
from inference.tiling.runner import Runner
from models.networks.resnet import ResnetGenerator
from models.networks.stages import Keep
from util.errors import UserError

CPU = torch.device("cpu")


def test_sizes_as_people_write_them() -> None:
    assert [parse_memory(text) for text in ("2GB", "800M", "1.5g", "4096", None)] == [
        *(2 * 10**9, 8 * 10**8, 15 * 10**8, 4096, None)
    ]
    assert human(2.34e9) == "2.3 GB" and human(4.1e8) == "410 MB"
    for text in ("0GB", "big", "-1GB", "2 XB"):
        with pytest.raises(UserError, match="such as 2GB"):
            parse_memory(text)
    assert free_memory(CPU, 1) == 0 and free_memory(CPU, None) > 0


@pytest.mark.parametrize(("free", "installed", "whole"), [(60, 64, 16), (60, 4, 2), (2, 64, 1.6), (1, 1, 0.8)])
def test_without_a_limit_other_programs_keep_their_memory(
    monkeypatch: pytest.MonkeyPatch, free: int, installed: int, whole: float
) -> None:
    monkeypatch.setattr(memory, "_meminfo", {"MemAvailable": free * 10**9, "MemTotal": installed * 10**9}.get)
    monkeypatch.setattr(memory, "_cgroup", list)
    monkeypatch.setattr(memory, "resident", lambda: 10**9)
    budget = budget_of(CPU, None)
    assert budget.whole == int(whole * 10**9) and budget.most == int(0.8 * free * 10**9)
    assert budget.tiles == min(budget.most, 968 * 10**6), "2 GB less what the program holds and keeps aside"
    monkeypatch.setattr(memory, "resident", lambda: 3 * 10**9)
    assert budget_of(CPU, None).tiles == 5 * 10**8, "a large program gets tiles too"
    assert len({*vars(budget_of(CPU, 4 * 10**9)).values()}) == 1, "a limit of the user's is taken at its word"


def test_tiles_take_more_than_is_modest_only_where_the_smallest_do(monkeypatch: pytest.MonkeyPatch) -> None:
    network = ResnetGenerator(3, 3, 6, ngf=4, norm="none", dropout=False).eval()
    for tiles, most in ((2 * 10**7, 2 * 10**7), (10**4, 6 * 10**7)):
        monkeypatch.setattr(running, "budget_of", lambda *_, tiles=tiles: Budget(6 * 10**7, 6 * 10**7, tiles))
        found = Runner(CPU).plan(network, 3, 2000, 2000)
        assert found.way == "local" and found.memory <= most
    assert found.memory > 10**4


def test_a_small_image_with_a_large_result_is_not_small(monkeypatch: pytest.MonkeyPatch) -> None:
    network = ResnetGenerator(3, 3, 6, ngf=4, norm="none", dropout=False).eval()
    monkeypatch.setattr(running, "budget_of", lambda *_: Budget(10**8, 10**7, 10**7))
    assert Runner(CPU).plan(network, 3, 512, 512).way == "whole"
    network.scale = 4
    assert Runner(CPU).plan(network, 3, 512, 512).way == "local"


def test_live_bytes_counts_what_is_held_at_once() -> None:
    with LiveBytes() as live:
        a = torch.ones(1000)
        b = a + 1
        del a
        c = b * 2
        del b
    assert live.peak == 8000 and live.now == 4000
    assert float(c[0]) == 4


def plan(monkeypatch: pytest.MonkeyPatch, budget: int, size: int = 1024, **flags: Any) -> Any:
    monkeypatch.setattr(running, "budget_of", lambda *_: Budget(budget, budget, budget))
    network = ResnetGenerator(3, 3, 6, ngf=4, norm="instance", dropout=False).eval()
    return Runner(CPU, InferenceOptions(max_memory="1GB", **flags)).plan(network, 3, size, size)


def test_less_memory_means_smaller_tiles_and_then_scratch_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    assert plan(monkeypatch, 10**9).way == "whole"
    plans = [plan(monkeypatch, budget * 10**6, scratch_dir=str(tmp_path)) for budget in (60, 30, 8)]
    tiles = [each.tile for each in plans]
    assert tiles == sorted(tiles, reverse=True) and tiles[0] > tiles[-1] and all(tile % 4 == 0 for tile in tiles)
    assert all(each.memory <= budget * 10**6 for each, budget in zip(plans, (60, 30, 8), strict=True))
    assert plans[-1].folder == tmp_path
    assert all(each.scratch == 1024**2 * 3 * 16 // 16 * 2 for each in plans), "3 tensors of 16 channels at a quarter"


def test_a_scratch_folder_without_space_or_at_all_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(UserError, match="no such folder"):
        plan(monkeypatch, 8 * 10**6, scratch_dir=str(tmp_path / "none"))
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(running.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="are needed and 1 MB are free"):
        plan(monkeypatch, 8 * 10**6, scratch_dir=str(tmp_path))


def test_reach_and_passes_of_a_generator() -> None:
    network = ResnetGenerator(3, 3, 6, ngf=4, norm="instance", dropout=False)
    assert reach([nn.Conv2d(1, 1, 7)])[1] == 3
    assert reach([nn.Conv2d(1, 1, 3, 2, 1), nn.Conv2d(1, 1, 3, padding=1)]) == (2, 4)
    passes = make_passes(network.stages())
    assert [one.margin for one in passes[:3]] == [3, 4, 8], "three passes over the image, as the head is not stored"
    assert max(one.margin for one in passes[3:-3]) == 4
    with pytest.raises(TypeError, match="LSTM: unknown reach"):
        make_passes([Keep(), nn.LSTM(1, 1)])


@pytest.mark.parametrize("cuttable", [True, False])
def test_an_accelerator_without_room_leaves_the_work_to_the_cpu_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cuttable: bool
) -> None:
    """After smaller tiles, where there can be such."""
    room = {"cuda": Budget(*3 * [10**6]), "cpu": Budget(*3 * [10**10])}
    monkeypatch.setattr(running, "budget_of", lambda device, _: room[device.type])
    monkeypatch.setattr(Runner, "_needs_of", lambda *_: Needs(1000.0))
    network = ResnetGenerator(3, 3, 6, ngf=4, norm="none", dropout=False).eval()
    runner = Runner(torch.device("cuda"))
    with pytest.raises(torch.OutOfMemoryError, match="are needed, and 1 MB are free") as short:
        runner.plan(network if cuttable else nn.Conv2d(3, 3, 1), 3, 2000, 2000)
    steps = 0
    while runner.device.type == "cuda":
        assert runner.retreat(short.value)
        steps += 1
    assert steps == (7 if cuttable else 1)
    assert runner.plan(network if cuttable else nn.Conv2d(3, 3, 1), 3, 2000, 2000).way == "whole"
    said = capsys.readouterr().err
    assert said.count("going on with the CPU") == 1 and said.count("smaller tiles") == cuttable


def test_what_cannot_be_cut_is_refused_with_its_needs_after_memory_ran_out_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = Runner(CPU)
    runner.plan(nn.Conv2d(3, 3, 1), 3, 64, 64)
    assert runner.retreat(RuntimeError("could not create a primitive")) and not runner.retreat(RuntimeError("a bug"))
    with pytest.raises(UserError, match="64x64 pixels need about .* cannot be cut into tiles"):
        runner.plan(nn.Conv2d(3, 3, 1), 3, 64, 64)


def test_the_limit_of_a_shell_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10**9, 10**9))
    ((limit, used),) = memory._address_space()
    assert limit == 10**9 and used > 10**7
    assert free_memory(CPU, None) == int(0.8 * max(0, 10**9 - used)) or used > 10**9
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert memory._address_space() == []
