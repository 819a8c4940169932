"""Files in parts give what the whole image in memory gives, in bounded memory, and never half a file."""

from __future__ import annotations

import itertools
import os
import pathlib
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from data.masks_files import Damage
from data.readers import read_image
from data.streams import write_blocks
from inference import translator as translating
from inference.holes import HoleSource
from inference.predictor import Predictor
from inference.settings import InferenceOptions
from inference.tiling.symmetry import SYMMETRIES
from inference.translator import Translator
from models.builder import Builder, Channels
from models.inpaint_model import Inpaint, InpaintOptions
from models.networks import GENERATORS
from models.test_model import OneSided, OneSidedOptions
from util.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]


def make(name: str = "resnet_6blocks", count: int = 1, options: Any = None, **values: Any) -> Translator:
    """Return a translator by ``count`` random models."""
    kinds = {"ngf": 4, "init_gain": 0.1, "no_dropout": True, **values}
    fields = {field for field in GENERATORS.options(name).__dataclass_fields__}
    choice = GENERATORS.get(name), GENERATORS.options(name)(**{k: v for k, v in kinds.items() if k in fields})
    models = [OneSided(OneSidedOptions(), Builder({"netG": choice}, Channels(3, 3), seed)) for seed in range(count)]
    return Translator(Predictor(models, torch.device("cpu"), options=options or InferenceOptions()), (3, 3))


def photo(height: int, width: int, dtype: str = "uint8") -> np.ndarray:
    """Return a picture whose parts differ in brightness."""
    random = np.random.default_rng(0)
    values = np.linspace(0, 0.8, width)[None, :, None] + 0.2 * random.random((height, width, 3))
    return (values * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file count as too large for memory."""
    monkeypatch.setattr(translating, "fits_in_memory", lambda *_: False)


EXACT = InferenceOptions(tile_size=32, tile_scratch="fp32")


@pytest.mark.parametrize(
    ("name", "words", "count", "options"),
    [
        ("resnet_6blocks", {}, 1, InferenceOptions()),
        ("resnet_6blocks", {}, 1, EXACT),
        ("resnet_6blocks", {"norm": "none"}, 1, EXACT),
        ("resnet_6blocks", {}, 2, InferenceOptions(tile_size=32, tile_scratch="fp32", tta="x8")),
        ("srresnet", {"scale": 2, "n_blocks": 1}, 1, EXACT),
    ],
    ids=["whole", "layers", "margin", "averages", "enlarged"],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_in_parts_as_in_memory(
    name: str, words: dict[str, Any], count: int, options: Any, dtype: str, tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    image = photo(41, 50, dtype)
    write_blocks(tmp_path / "in.png", image.shape, dtype, [image])
    plain = make(name, count, InferenceOptions(tta=options.tta), **words)
    expected = plain(image).astype(float)
    monkeypatch.setattr(translating, "fits_in_memory", lambda *_: False)
    for suffix in (".png", ".tif"):
        make(name, count, options, **words).file(tmp_path / "in.png", tmp_path / f"out{suffix}")
        result = read_image(tmp_path / f"out{suffix}")
        assert result.dtype == image.dtype and result.shape == expected.shape
        assert np.abs(result - expected).max() <= (1 if dtype == "uint8" else 4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.png", "out.png", "out.tif"]


def filler(name: str, options: Any, damage: Damage | None = None, **words: Any) -> Translator:
    """Return a translator that fills holes by a random model."""
    fields = {field for field in GENERATORS.options(name).__dataclass_fields__}
    kinds = {"ngf": 4, "init_gain": 0.1, "no_dropout": True, "n_blocks": 1, **words}
    choice = GENERATORS.get(name), GENERATORS.options(name)(**{k: v for k, v in kinds.items() if k in fields})
    model = Inpaint(InpaintOptions(), Builder({"netG": choice}, Channels(4, 3), 0))
    predictor = Predictor(model, torch.device("cpu"), options=options)
    return Translator(predictor, (4, 3), holes=HoleSource(damage=damage))


@pytest.mark.parametrize(
    ("name", "words", "options"),
    [
        ("resnet_6blocks", {"norm": "none"}, InferenceOptions(tile_size=32, tta="x8")),
        ("resnet_6blocks", {}, EXACT),
        ("lama", {}, EXACT),
    ],
    ids=["margin turned", "layers", "whole"],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_holes_in_parts_as_in_memory(
    name: str, words: dict[str, Any], options: Any, dtype: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, hole = photo(41, 50, dtype).clip(1), np.zeros((41, 50), bool)
    hole[10:30, 5:40] = True
    expected = filler(name, InferenceOptions(tta=options.tta), **words)(image, hole)
    top = np.iinfo(dtype).max
    files = {
        "masked": image,
        "clear": np.dstack([image, np.where(hole, 0, top).astype(dtype)]),
        "struck": np.where(hole[..., None], 0, image).astype(dtype),
    }
    for stem, values in {**files, "mask": hole[..., None].astype(np.uint8)}.items():
        write_blocks(tmp_path / f"{stem}.png", values.shape, values.dtype.name, [values])
    monkeypatch.setattr(translating, "fits_in_memory", lambda *_: False)
    for stem in files:
        fill = filler(name, options, Damage((0,)) if stem == "struck" else None, **words)
        fill.file(tmp_path / f"{stem}.png", tmp_path / "out.png", tmp_path / "mask.png" if stem == "masked" else None)
        result = read_image(tmp_path / "out.png")
        assert result.dtype == image.dtype and np.array_equal(result[~hole], image[~hole])
        assert np.abs(result.astype(float) - expected).max() <= (1 if dtype == "uint8" else 4)


@pytest.mark.usefixtures("in_parts")
def test_large_holes_that_cannot_be_filled_are_refused(tmp_path: pathlib.Path) -> None:
    image = photo(300, 400)
    write_blocks(tmp_path / "in.png", image.shape, "uint8", [image])
    write_blocks(tmp_path / "mask.png", (300, 400, 1), "uint8", [image[..., :1]])
    write_blocks(tmp_path / "small.png", (30, 40, 1), "uint8", [image[:30, :40, :1]])
    fill = filler("lama", InferenceOptions(max_memory="1MB"))
    for mask, message in {
        "mask": r"400x300 pixels need about .* MB of memory.*would have to be [0-9.]+ [MG]B with.*LaMa.*cannot be cut",
        "small": "the mask has 40x30 pixels and the image 400x300",
    }.items():
        with pytest.raises(UserError, match=message):
            fill.file(tmp_path / "in.png", tmp_path / "out.png", tmp_path / f"{mask}.png")
    with pytest.raises(UserError, match="where is the hole"):
        fill.file(tmp_path / "in.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_symmetries_undo_themselves_on_images_and_boxes() -> None:
    from inference.tiling.boxes import Box

    image = torch.arange(35.0).view(1, 1, 5, 7)
    frame = Box(0, 0, 5, 7)
    assert len({symmetry.there(image).flatten().tolist().__str__() for symmetry in SYMMETRIES}) == 8
    for symmetry, (top, left) in itertools.product(SYMMETRIES, [(0, 0), (1, 2)]):
        turned = symmetry.there(image)
        assert torch.equal(symmetry.back(turned), image)
        box = Box(top, left, top + 3, left + 2)
        inner = symmetry.box_back(box, frame)
        part = image[..., inner.top : inner.bottom, inner.left : inner.right]
        assert torch.equal(symmetry.there(part), turned[..., box.top : box.bottom, box.left : box.right])


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize(("count", "needed"), [(1, "3 MB"), (2, "15 MB")])
def test_temporary_files_that_do_not_fit_are_refused_beforehand(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, count: int, needed: str
) -> None:
    image = photo(1000, 1000)
    write_blocks(tmp_path / "in.png", image.shape, "uint8", [image])
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2 * 10**6))
    with pytest.raises(UserError, match=f"--scratch_dir .*: {needed} are needed and 2 MB are free"):
        make(count=count).file(tmp_path / "in.png", tmp_path / "out.png")
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


@pytest.mark.usefixtures("in_parts")
def test_a_damaged_file_leaves_nothing(tmp_path: pathlib.Path) -> None:
    image = photo(300, 64)
    write_blocks(tmp_path / "in.png", image.shape, "uint8", [image])
    content = (tmp_path / "in.png").read_bytes()
    (tmp_path / "in.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="not a readable image"):
        make().file(tmp_path / "in.png", tmp_path / "out.png")
    assert [p.name for p in tmp_path.iterdir()] == ["in.png"]


@pytest.mark.usefixtures("in_parts")
def test_out_of_memory_is_smaller_tiles_said_once(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photo(120, 400)
    write_blocks(tmp_path / "in.png", image.shape, "uint8", [image])
    translate = make(options=InferenceOptions(tile_scratch="fp32"))
    expected = translate(image)
    network = translate.predictor.networks[0]
    first = network.model[1]
    original, sizes = first.forward, []

    def limited(x: torch.Tensor) -> torch.Tensor:
        sizes.append(x.shape[-1])
        if x.shape[-2] * x.shape[-1] > 115 * 115:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return original(x)

    monkeypatch.setattr(first, "forward", limited)
    translate.file(tmp_path / "in.png", tmp_path / "out.png")
    assert np.abs(read_image(tmp_path / "out.png").astype(int) - expected).max() <= 1
    assert np.array_equal(translate(image), read_image(tmp_path / "out.png")), "the array takes the same way"
    assert capsys.readouterr().err.count("out of memory: going on with smaller tiles") == 1
    monkeypatch.setattr(first, "forward", lambda x: (_ for _ in ()).throw(RuntimeError("a fault of the program")))
    with pytest.raises(RuntimeError, match="fault of the program"):
        translate(image)


MEASURE = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
import torch
torch.set_num_threads(1)
from test_large import make
from inference.settings import InferenceOptions
from inference.tiling.memory import resident
make(options=InferenceOptions(tile_size=64)).file({small!r}, {target!r})  # loads all libraries
limit = resident() // 10**6 + {room}
translate = make(norm={norm!r}, ngf=8, options=InferenceOptions(max_memory=f"{{limit}}MB", scratch_dir={folder!r}))
translate.file({source!r}, {target!r})
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]  # ru_maxrss counts the parent's too
print(int(peak.split()[1]) * 1024 / 10**6 - limit)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in other units elsewhere")
@pytest.mark.parametrize(("suffix", "norm"), [(".png", "instance"), (".tif", "batch")])
def test_peak_memory_stays_below_the_limit(tmp_path: pathlib.Path, suffix: str, norm: str) -> None:
    height, width, room = 1000, 1500, 160  # MB beyond the libraries; in memory the image takes 360, whole 200 more
    rows = photo(100, width, "uint16")
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    write_blocks(source, (height, width, 3), "uint16", [rows] * (height // 100))
    small = tmp_path / f"small{suffix}"
    write_blocks(small, (40, 100, 3), "uint16", [rows[:40, :100]])
    code = MEASURE.format(
        root=str(ROOT), here=str(ROOT / "tests/inference"), norm=norm, room=room, folder=str(tmp_path),
        source=str(source), target=str(target), small=str(small),
    )  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tiles of" in done.stderr
    assert float(done.stdout) < 0, "more than --max_memory"
    with tifffile.TiffFile(target) if suffix == ".tif" else open(target, "rb"):
        assert read_image(target).shape == (height, width, 3)
