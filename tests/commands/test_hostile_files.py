"""Nothing that a user may download runs code, writes elsewhere, or unfolds to more than it is."""

from __future__ import annotations

import json
import pathlib
import pickle
import struct
from collections.abc import Callable
from typing import Any

import pytest
import torch

import a2b
from commands.opened_run import DATA_FILE, saved_ranges
from commands.testing import TestingSession
from evaluation import perceptual
from evaluation.style import new_page, options_fold
from models.files import save_networks
from models.networks.foreign import load_weights
from options.saved import FILE, load_options
from options.test_options import TestOptions
from options.train_options import TrainOptions
from util.errors import UserError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


class Canary:
    """Unpickling it makes a folder."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return pathlib.Path.mkdir, (self.path,)


@pytest.fixture
def canary(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "code-was-run"


def _weights(path: pathlib.Path, kind: str, canary: pathlib.Path) -> None:
    content = {"model.1.weight": torch.zeros(1), "more": Canary(canary)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")


def test_the_canary_sings(canary: pathlib.Path) -> None:
    pickle.loads(pickle.dumps(Canary(canary)))
    assert canary.exists()


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("reader", [load_weights, a2b.load, lambda path: perceptual.load(str(path))])
def test_weights_with_code_are_refused_and_not_run(
    tmp_path: pathlib.Path, canary: pathlib.Path, reader: Callable[[pathlib.Path], Any], suffix: str, kind: str
) -> None:
    path = tmp_path / f"downloaded.{suffix}"
    _weights(path, kind, canary)
    with pytest.raises(UserError, match="downloaded"):
        reader(path)
    assert not canary.exists()


@pytest.mark.parametrize("size", [1 << 20, 1 << 31, (1 << 64) - 1])
def test_a_safetensors_header_beyond_the_file_is_refused(tmp_path: pathlib.Path, size: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", size) + b"{" + b" " * 64)
    with pytest.raises(UserError, match="cannot be read as weights"):
        load_weights(path)


@pytest.fixture
def run(tmp_path: pathlib.Path, aligned: pathlib.Path) -> Callable[..., list[str]]:
    """Return a function that makes a downloaded run, and returns the words of test.py for it."""

    def make(**flags: object) -> list[str]:
        folder = tmp_path / "checkpoints" / "run"
        folder.mkdir(parents=True)
        save_networks({"G": a2b.build_generator("resnet_6blocks", ngf=4)}, folder, "latest")
        flags = {"model": "pix2pix", "netG": "resnet_6blocks", "ngf": 4, "norm": "instance"} | flags
        entries = {name: {"value": value, "source": "x", "scope": "identity"} for name, value in flags.items()}
        (folder / FILE).write_text(json.dumps(entries))
        where = ["--dataroot", str(aligned), "--checkpoints_dir", str(tmp_path / "checkpoints"), "--name", "run"]
        return [*where, "--results_dir", str(tmp_path / "results"), "--gpu_ids", "-1", "--num_test", "1"]

    return make


def test_a_run_sets_no_paths_and_loads_no_code(
    tmp_path: pathlib.Path, canary: pathlib.Path, run: Callable[..., list[str]]
) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(f"import pathlib\npathlib.Path({str(canary)!r}).mkdir()\n")
    elsewhere = str(tmp_path / "elsewhere")
    paths = {"checkpoints_dir": elsewhere, "results_dir": elsewhere, "phase": "../../../elsewhere", "name": "../x"}
    words = run(plugin=[str(plugin)], config=str(plugin), lpips_weights=elsewhere, dataroot=elsewhere, **paths)
    del words[words.index("--results_dir") : words.index("--results_dir") + 2]
    options = TestOptions().parse(words)
    assert options.values["plugin"] == () and options.values["config"] is None
    assert options.values["lpips_weights"] is None and options.values["phase"] == "test"
    assert elsewhere not in map(str, options.values.values())
    assert options.values["results_dir"] == "./results/"
    assert not canary.exists()


def test_a_run_with_a_plugin_s_model_does_not_load_the_plugin(
    tmp_path: pathlib.Path, canary: pathlib.Path, run: Callable[..., list[str]]
) -> None:
    template = (pathlib.Path(a2b.__file__).parent / "models" / "template_model.py").read_text()
    code = f"import pathlib\npathlib.Path({str(canary)!r}).mkdir(exist_ok=True)\n"
    plugin = tmp_path / "plugin.py"
    plugin.write_text(template.replace('"template"', '"theirs"') + code)
    words = run(model="theirs", plugin=[str(plugin)])
    with pytest.raises(UserError, match="unknown model 'theirs'"):
        TestingSession(TestOptions().parse(words))
    assert not canary.exists()


def test_a_config_names_no_code(tmp_path: pathlib.Path) -> None:
    (tmp_path / "plugin.py").write_text("raise SystemExit('run')\n")
    (tmp_path / "recipe.yaml").write_text(f"plugin: {tmp_path / 'plugin.py'}\n")
    with pytest.raises(UserError, match="plugin runs code; name it on the command line"):
        TrainOptions().parse(["--dataroot", ".", "--config", str(tmp_path / "recipe.yaml")])


@pytest.mark.parametrize(
    "text",
    [
        *(BOMB, "lr: " + "[" * 5000, "x: {a: b}\n", "x: [[1]]\n", "day: 2024-13-45\n", "a: \x00\n"),
        "lr: !!python/object/apply:os.mkdir [CANARY]\n",
        "lr: !!python/name:os.mkdir\n",
    ],
    ids=["billion_laughs", "deep", "mapping", "lists", "date", "control", "python", "name"],
)
def test_yaml_neither_unfolds_nor_runs_anything(tmp_path: pathlib.Path, canary: pathlib.Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text.replace("CANARY", str(canary)))
    with pytest.raises(UserError) as caught:
        TrainOptions().parse(["--dataroot", ".", "--config", str(tmp_path / "recipe.yaml")])
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert not canary.exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "{}[]", '{"a": 1}', '{"a": {"scope": "identity"}}', "[1]", "\xff"])
def test_a_hostile_options_file_is_one_line(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match="damaged options file"):
        load_options(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, "[1]", '{"A": 1}', '{"A": {"range": {"low": 0, "high": 1}}}'),
        '{"A": {"range": {"low": 0, "high": 1}, "format": {"dtype": "object", "channels": 3}}}',
        '{"A": {"range": {"low": 0, "high": 1}, "format": {"dtype": "uint8", "channels": "3"}}}',
        '{"A": {"range": {"low": "x", "high": 1}, "format": {"dtype": "uint8", "channels": 3}}}',
        '{"A": {"range": {"low": 0, "high": 1}, "format": {"dtype": "uint8", "channels": 3, "suffix": "/../x"}}}',
    ],
)
def test_a_hostile_data_file_is_one_line(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / DATA_FILE).write_text(text)
    with pytest.raises(UserError, match="damaged"):
        saved_ranges(tmp_path)


@pytest.mark.parametrize("name", ["../x", "/etc", "a/../b", "..", "a\\..\\b"])
def test_a_run_s_name_leads_nowhere_else(tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(UserError, match="without slashes"):
        TestOptions().parse(["--dataroot", ".", "--checkpoints_dir", str(tmp_path), "--name", name])


def test_pages_show_names_as_text() -> None:
    script = '<script>alert("x")</script>'
    with new_page(script) as page:
        options_fold({script: script, "name": '"><img src=x onerror=alert(1)>'}, {script: script})
    text = page.render()
    assert "<script>" not in text and "<img" not in text
    assert "&lt;script&gt;" in text
