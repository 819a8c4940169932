"""Batches do not depend on workers or interruptions, and leave the global random state alone."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

from data import DATASETS
from data.common import CommonDataOptions, LoaderOptions
from data.loader import EpochLoader, sample_seed
from data.writers import write_image
from util.errors import UserError


@pytest.fixture
def dataset(tmp_path: pathlib.Path) -> Any:
    rng = np.random.default_rng(0)
    for index in range(7):
        for letter in "AB":
            write_image(tmp_path / f"train{letter}/{index}.png", rng.integers(0, 256, (12, 14, 3), dtype=np.uint8))
    return _open(tmp_path)


def _open(root: pathlib.Path, **flags: Any) -> Any:
    common = CommonDataOptions(**({"dataroot": str(root), "load_size": 12, "crop_size": 8} | flags))
    return DATASETS.get("unaligned")(DATASETS.options("unaligned")(), common, train=True)


def _loader(dataset: Any, workers: int = 0, batch_size: int = 2, **settings: Any) -> EpochLoader:
    options = LoaderOptions(batch_size=batch_size, num_threads=workers)
    return EpochLoader(dataset, options, **({"seed": 5, "shuffle": True} | settings))


def _equal(first: Iterable[dict[str, Any]], second: Iterable[dict[str, Any]]) -> bool:
    pairs = list(zip(first, second, strict=True))
    tensors = all(torch.equal(a[name], b[name]) for a, b in pairs for name in "AB")
    return tensors and all(a[name] == b[name] for a, b in pairs for name in ("A_paths", "B_paths", "key"))


def test_a_batch_stacks_tensors_and_lists_the_rest(dataset: Any) -> None:
    loader = _loader(dataset, batch_size=3)
    batches = list(loader.epoch(1))
    assert [len(b["names"]) for b in batches] == [3, 3, 1] and len(loader) == 3
    assert batches[0]["A"].shape == (3, 3, 8, 8) and batches[0]["A"].is_contiguous()
    assert sorted(name for b in batches for name in b["names"]) == [str(i) for i in range(7)]


def test_workers_change_nothing_over_epochs(dataset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.loader.processors", lambda: 2)
    alone, two = _loader(dataset), _loader(dataset, workers=2)
    for epoch in (1, 2):
        assert _equal(alone.epoch(epoch), two.epoch(epoch))


def test_epochs_and_seeds_differ(dataset: Any) -> None:
    loader = _loader(dataset)
    assert not _equal(loader.epoch(1), loader.epoch(2))
    assert not _equal(loader.epoch(1), _loader(dataset, seed=6).epoch(1))
    assert sample_seed(0, 1, 2) != sample_seed(0, 2, 1) and 0 <= sample_seed(0, 1, -1) < 2**63


@pytest.mark.parametrize("offset", [0, 2, 4, 6, 8])
def test_resuming_within_an_epoch_gives_the_rest_of_it(dataset: Any, offset: int) -> None:
    whole = list(_loader(dataset).epoch(3))
    assert _equal(whole[offset // 2 :], _loader(dataset).epoch(3, offset))


def test_an_abandoned_epoch_leaves_no_trace(dataset: Any) -> None:
    loader = _loader(dataset)
    next(iter(loader.epoch(1)))
    assert _equal(loader.epoch(2), _loader(dataset).epoch(2))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_random_state_is_not_touched(dataset: Any, workers: int) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(_loader(dataset, workers=workers).epoch(1))
    assert torch.equal(before, torch.get_rng_state())


def test_without_shuffling_the_order_is_that_of_the_files(dataset: Any) -> None:
    batches = list(_loader(dataset, shuffle=False).epoch(1))
    assert [name for batch in batches for name in batch["names"]] == [str(i) for i in range(7)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_one_line_from_any_worker(dataset: Any, tmp_path: pathlib.Path, workers: int) -> None:
    path = tmp_path / "trainA/3.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError) as caught:
        list(_loader(dataset, workers=workers).epoch(1))
    assert "3.png" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_next_sample_stands_in_for_a_damaged_file(tmp_path: pathlib.Path, dataset: Any, workers: int) -> None:
    good = list(_loader(dataset, shuffle=False).epoch(1))
    path = tmp_path / "trainA/3.png"
    path.write_bytes(path.read_bytes()[:-40])
    batches = list(_loader(dataset, workers=workers, shuffle=False, skip_bad=True).epoch(1))
    assert [name for batch in batches for name in batch["names"]] == ["0", "1", "2", "4", "4", "5", "6"]
    assert torch.equal(batches[1]["A"][1], good[2]["A"][0]) and torch.equal(batches[1]["A"][0], good[1]["A"][0])


def test_a_damaged_file_is_named_once_and_a_folder_of_them_is_an_error(
    dataset: Any, tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trainA/5.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"5\.png"):
        _open(tmp_path)
    loader = _loader(_open(tmp_path, on_bad_file="skip"), skip_bad=True)
    assert sum(len(batch["names"]) for epoch in (1, 2) for batch in loader.epoch(epoch)) == 14
    assert capfd.readouterr().err.count("skipped: ") == 1
    for path in (tmp_path / "trainA").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="not a readable image"):
        list(loader.epoch(1))


def test_unequal_sizes_in_one_batch_name_both_files(dataset: Any, tmp_path: pathlib.Path) -> None:
    write_image(tmp_path / "trainA/3.png", np.zeros((12, 20, 3), np.uint8))
    whole = _open(tmp_path, preprocess="none")
    with pytest.raises(UserError, match=r"\d\.png gives 14x12 pixels, .*3\.png 20x12: .*--batch_size 1"):
        list(_loader(whole, shuffle=False).epoch(1))
    assert len(list(_loader(whole, batch_size=1).epoch(1))) == 7


class _Masked:
    """Samples of which the second has masks."""

    def __len__(self) -> int:
        return 2

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        masks = {"A_mask": torch.zeros(1, 2, 2), "B_mask": torch.zeros(1, 2, 2)} if index else {}
        return {"A": torch.zeros(3, 2, 2), "B": torch.zeros(3, 2, 2)} | masks


def test_masks_are_filled_where_one_sample_has_one() -> None:
    (batch,) = _loader(_Masked(), shuffle=False).epoch(1)
    for name in ("A_mask", "B_mask"):
        assert batch[name].flatten(1).tolist() == [[1.0] * 4, [0.0] * 4]
    (first, second) = _loader(_Masked(), batch_size=1, shuffle=False).epoch(1)
    assert "B_mask" not in first and "B_mask" in second


def test_unequal_tensors_without_a_path_are_named() -> None:
    class Growing(_Masked):
        def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
            return {"extra": torch.zeros(1, 2 + index, 2)}

    with pytest.raises(UserError, match="extra gives 2x2 pixels, extra 2x3"):
        list(_loader(Growing(), shuffle=False).epoch(1))


def test_programming_errors_are_not_hidden() -> None:
    class Broken(_Masked):
        def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(_loader(Broken()).epoch(1))


class _Stuck(_Masked):
    """The second sample never comes."""

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        time.sleep(600 * index)
        return super().load(0, generator)


@pytest.mark.skipif(sys.platform != "linux", reason="process groups as on Linux")
def test_workers_leave_sigterm_to_the_main_process_and_end_when_that_says_so() -> None:
    loader = _loader(_Stuck(), workers=1, batch_size=1, shuffle=False)
    batches = loader.stored(1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)  # as to the whole group, from elsewhere
    time.sleep(0.5)
    assert worker.is_alive()
    began = time.monotonic()
    del batches, loader
    worker.join(20)
    assert worker.exitcode == 0 and time.monotonic() - began < 15, "torch waits for 5 seconds, then uses SIGTERM"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch look for dead workers after a fifth of a second instead of five."""
    iterator = torch.utils.data.dataloader._MultiProcessingDataLoaderIter
    monkeypatch.setattr(iterator._try_get_data, "__defaults__", (0.2,))
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)
    monkeypatch.setattr("data.loader.processors", lambda: 2)


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on POSIX")
@pytest.mark.parametrize("after", [0, 1, 2, 4])
def test_a_killed_worker_changes_nothing(dataset: Any, after: int, hasty: None, capfd: Any) -> None:
    """Before the first batch of an epoch, in its middle, and when its last batch has been handed out."""
    loader = _loader(dataset, workers=2)
    list(loader.epoch(1))
    batches = loader.epoch(2)
    first = list(itertools.islice(batches, after))
    for worker in multiprocessing.active_children():
        worker.kill()
    expected = itertools.chain(_loader(dataset).epoch(2), _loader(dataset).epoch(3, 4))
    assert _equal(itertools.chain(first, batches, loader.epoch(3, 4)), expected)
    assert capfd.readouterr().err.count("note: a process that loads images was killed (signal 9)") == 1
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL, "torch's handler raises in the middle of anything"


class _Deadly(_Masked):
    """Every sample kills whoever loads it."""

    def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().load(0, generator)


@pytest.mark.skipif(sys.platform == "win32", reason="signals as on POSIX")
def test_workers_that_die_again_and_again_are_one_clear_line(hasty: None, capfd: Any) -> None:
    with pytest.raises(UserError, match=r"killed 4 times in a row \(signal 9\).*smaller --num_threads"):
        next(_loader(_Deadly(), workers=1).epoch(1))
    assert capfd.readouterr().err.count("note: a process") == 3


@pytest.mark.parametrize("error", [RuntimeError, ConnectionResetError])
def test_an_error_of_a_living_worker_is_not_taken_for_its_death(error: type[Exception], hasty: None) -> None:
    class Broken(_Masked):
        def load(self, index: int, generator: torch.Generator) -> dict[str, Any]:
            raise error("shapes do not fit")

    with pytest.raises(error, match="shapes do not fit"):
        list(_loader(Broken(), workers=1).epoch(1))
