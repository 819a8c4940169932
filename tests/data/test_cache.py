"""The cache changes no sample, notices what changed or broke, and can be shared."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from data import DATASETS
from data.cache import ImageCache, default_folder, open_cache
from data.cache_room import entries
from data.common import CommonDataOptions, LoaderOptions
from data.loader import EpochLoader
from data.writers import write_image
from util.errors import UserError

KINDS = {
    "grey": ("uint8", 1),
    "rgb": ("uint8", 3),
    "deep": ("uint16", 1),
    "float": ("float32", 1),
    "holes": ("float32", 3),
}


def _image(random: np.random.Generator, kind: str, height: int, width: int) -> np.ndarray:
    dtype, channels = KINDS[kind]
    if dtype != "float32":
        return random.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)
    image = random.normal(size=(height, width, channels)).astype(np.float32)
    image[random.random(image.shape) < 0.02 * (kind == "holes")] = np.nan
    return image


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for index in range(4):
        write_image(root / f"joined/train/{index}.png", _image(random, "rgb", 30, 72))
        for kind, (dtype, _) in KINDS.items():
            suffix = ".tif" if dtype == "float32" else ".png"
            write_image(root / f"two/train/{kind}/{index}{suffix}", _image(random, kind, 30, 36))
    return root


def _open(mode: str, root: pathlib.Path, cache: pathlib.Path | str, **flags: Any) -> Any:
    chosen: dict[str, Any] = {"dataroot": str(root), "load_size": 40, "crop_size": 24, "cache": str(cache)} | flags
    return DATASETS.get(mode)(DATASETS.options(mode)(), CommonDataOptions(**chosen), train=True)


def _samples(dataset: Any) -> list[dict[str, Any]]:
    return [dataset.load(i, torch.Generator().manual_seed(seed)) for seed in (1, 2) for i in range(len(dataset))]


def _same(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> bool:
    def equal(a: Any, b: Any) -> bool:
        return torch.equal(a, b) and a.dtype == b.dtype if torch.is_tensor(a) else a == b

    pairs = list(zip(first, second, strict=True))
    return all(a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a) for a, b in pairs)


def _forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Any) -> np.ndarray:
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr("data.pairs.read_image", refuse)
    monkeypatch.setattr("data.domains.read_image", refuse)


@pytest.mark.parametrize("preprocess", ["resize_and_crop", "crop", "scale_width", "none"])
@pytest.mark.parametrize(
    ("mode", "folder", "flags"),
    [
        ("aligned", "joined", {}),
        ("aligned", "joined", {"direction": "BtoA", "input_nc": 1}),
        ("single", "two/train/rgb", {}),
        ("aligned", "two", {"dir_A": "grey", "dir_B": "deep", "output_nc": 1}),
        ("unaligned", "two", {"dir_A": "float", "dir_B": "holes", "input_nc": 1}),
        ("aligned", "two", {"dir_A": "holes", "dir_B": "rgb", "value_range": "-2,2/10,200", "output_nc": 1}),
    ],
    ids=["joined", "backwards", "single", "grey-deep", "float-holes", "holes-rgb"],
)
def test_samples_are_the_same_bits_without_with_and_from_the_cache(
    data: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    preprocess: str,
    mode: str,
    folder: str,
    flags: dict[str, Any],
) -> None:
    flags = flags | {"preprocess": preprocess}
    plain = _samples(_open(mode, data / folder, "off", **flags))
    assert _same(plain, _samples(_open(mode, data / folder, tmp_path, **flags)))
    again = _open(mode, data / folder, tmp_path, **flags)
    _forbid_decoding(monkeypatch)
    assert _same(plain, _samples(again))


def test_batches_of_workers_are_the_same(
    data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batches(cache: pathlib.Path | str, workers: int) -> list[dict[str, Any]]:
        options = LoaderOptions(batch_size=3, num_threads=workers)
        dataset = _open("aligned", data / "two", cache, dir_A="rgb", dir_B="holes")
        loader = EpochLoader(dataset, options, seed=1, shuffle=True)
        return [batch for epoch in (1, 2) for batch in loader.epoch(epoch)]

    monkeypatch.setattr("data.loader.processors", lambda: 2)
    assert _same(batches("off", 0), batches(tmp_path, 2)) and _same(batches("off", 0), batches(tmp_path, 0))


def test_changing_a_sample_in_place_reaches_no_other(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for preprocess in ("none", "resize_and_crop"):
        flags = {"dir_A": "float", "dir_B": "grey", "input_nc": 1, "output_nc": 1, "preprocess": preprocess}
        dataset = _open("aligned", data / "two", tmp_path, **flags)
        first = [{k: v.clone() if torch.is_tensor(v) else v for k, v in s.items()} for s in _samples(dataset)]
        for sample in _samples(dataset):
            sample["A"].fill_(7), sample["B"].fill_(7)
        assert _same(first, _samples(dataset))
        assert _same(first, _samples(_open("aligned", data / "two", tmp_path, **flags)))


def test_only_what_is_cut_out_is_read_after_one_check(
    data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[Any] = []
    monkeypatch.setattr("data.cache.checksum", lambda tensors: checks.append(tensors) or 0)
    dataset = _open("single", data / "two/train/rgb", tmp_path, preprocess="crop")
    for _ in range(3):
        _samples(dataset)
    assert len(checks) == 2 * len(dataset)  # when written, and when read first
    prepared = dataset.preparations()[0]()
    assert not torch.is_tensor(prepared.values) and prepared.values[:, 2:5, 3:9].shape == (3, 3, 6)


def _truncate(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _flip_a_bit(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


DAMAGE: list[Callable[[pathlib.Path], Any]] = [
    *(_truncate, _flip_a_bit, lambda path: path.write_bytes(b"")),
    *(lambda path: path.write_bytes(bytes(path.stat().st_size)), lambda path: path.write_bytes(b"\xff" * 5000)),
]


@pytest.mark.parametrize("damage", DAMAGE, ids=["truncated", "bit", "empty", "zeros", "garbage"])
def test_damaged_entries_are_made_again(data: pathlib.Path, tmp_path: pathlib.Path, damage: Any) -> None:
    plain = _samples(_open("single", data / "two/train/rgb", tmp_path))
    files = sorted(tmp_path.rglob("*.safetensors"))
    whole = [path.read_bytes() for path in files]
    for path in files:
        damage(path)
    assert len(files) == 4 and _same(plain, _samples(_open("single", data / "two/train/rgb", tmp_path)))
    assert [path.read_bytes() for path in files] == whole


@pytest.mark.parametrize("failing", ["os.utime", "data.cache.safetensors.safe_open"])
def test_an_entry_that_cannot_be_touched_or_opened_now_stays(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    cache = ImageCache(tmp_path, 1e9)
    cache.put("key", {"size": 4}, {"values": torch.arange(4)})

    def fail(*args: Any, **kwargs: Any) -> None:
        raise PermissionError("of another user")

    with monkeypatch.context() as patched:
        patched.setattr(failing, fail)
        assert (cache.read("key") is None) == (failing != "os.utime")
    entry = cache.read("key")
    assert entry is not None and entry.facts == {"size": 4}


def test_a_changed_file_is_read_anew_even_with_its_old_size_and_time(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "in/a.npy"
    write_image(path, np.full((30, 30, 3), 10, np.uint8))
    dataset, times = _open("single", tmp_path / "in", tmp_path / "cache"), path.stat()
    before = _samples(dataset)[0]["A"]
    write_image(path, np.full((30, 30, 3), 200, np.uint8))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    after = _samples(dataset)[0]["A"]
    assert before.unique().item() < 0 < after.unique().item()


def test_a_file_that_vanished_is_named(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    write_image(tmp_path / "in/a.png", np.zeros((30, 30, 3), np.uint8))
    dataset = _open("single", tmp_path / "in", tmp_path / "cache")
    _samples(dataset)
    (tmp_path / "in/a.png").unlink()
    with pytest.raises(UserError, match=r"a\.png"):
        _samples(dataset)


def test_each_option_that_matters_has_entries_of_its_own(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    def count(**flags: Any) -> int:
        _samples(_open("single", data / "two/train/rgb", tmp_path, **flags))
        return len(list(entries(tmp_path)))

    assert count() == 4 and count(crop_size=20) == 4 and count(no_flip=True) == 4
    assert count(load_size=41) == 8 and count(input_nc=1) == 12 and count(value_range="0,100") == 16
    assert count(preprocess="none") == 20 and count(preprocess="crop") == 20
    assert count(preprocess="scale_width") == 24 and count(preprocess="scale_width_and_crop", crop_size=38) == 28


def test_an_open_cache_travels_to_other_processes(data: pathlib.Path, tmp_path: pathlib.Path) -> None:
    dataset = _open("single", data / "two/train/rgb", tmp_path)
    samples = _samples(dataset)
    assert _same(samples, _samples(pickle.loads(pickle.dumps(dataset))))


def test_a_disk_that_refuses_is_said_once_and_costs_no_sample(
    data: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("data.cache.atomic_file", full)
    plain = _samples(_open("single", data / "two/train/rgb", "off"))
    assert _same(plain, _samples(_open("single", data / "two/train/rgb", tmp_path)))
    assert capsys.readouterr().err == f"note: the cache {tmp_path} cannot be written (No space left on device)\n"
    assert not list(entries(tmp_path))


def test_off_auto_and_a_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cache(name: str) -> ImageCache | None:
        return open_cache(CommonDataOptions(cache=name))

    assert cache("off") is None
    monkeypatch.setenv("A2B_CACHE", str(tmp_path / "mine"))
    found = cache("auto")
    assert found is not None and found.folder == tmp_path / "mine" == default_folder()
    monkeypatch.delenv("A2B_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg/a2b/images"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--cache .*file/cache: cannot be made"):
        cache(str(tmp_path / "file/cache"))
    monkeypatch.setenv("A2B_CACHE", str(tmp_path / "file/cache"))
    assert cache("auto") is None


def _fill(root: pathlib.Path, cache: pathlib.Path, limit: float, start: Any, answers: Any) -> None:
    dataset = _open("single", root, cache, cache_limit=limit)
    start.wait()
    answers.put([sample["A"].sum().item() for _ in range(6) for sample in _samples(dataset)])


@pytest.mark.parametrize("images_that_fit", [2.5, 100])
def test_two_runs_may_fill_one_cache(data: pathlib.Path, tmp_path: pathlib.Path, images_that_fit: float) -> None:
    root, limit = data / "two/train/rgb", images_that_fit * (3 * 40 * 40 + 200)
    processes = multiprocessing.get_context("fork")
    start, answers = processes.Barrier(2), processes.Queue()
    runs = [processes.Process(target=_fill, args=(root, tmp_path, limit / 1e9, start, answers)) for _ in range(2)]
    for run in runs:
        run.start()
    found = [answers.get(timeout=100) for _ in runs]
    for run in runs:
        run.join()
    expected = [sample["A"].sum().item() for sample in _samples(_open("single", root, "off"))] * 6
    assert found == [expected] * 2 and [run.exitcode for run in runs] == [0, 0]
    sizes = [size for _, size, _ in entries(tmp_path)]
    assert len(sizes) == min(4, int(images_that_fit)) and sum(sizes) <= limit
    assert not list(tmp_path.rglob("*.tmp"))
