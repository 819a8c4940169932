"""The notebook's cells run on tiny data, in order, and again after a disconnect."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CELLS = json.loads((ROOT / "notebooks" / "train_on_a_free_gpu.ipynb").read_text(encoding="utf-8"))["cells"]
CODE = {cell["id"]: "".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"}
TINY = "--netG resnet_6blocks --ngf 4 --ndf 4 --preprocess none --num_threads 0 --gpu_ids -1 --precision fp32"
_AS_TEXT = "HTML, display = str, shown.append"
OFTEN = "--print_freq 1 --display_freq 1 --update_html_freq 1 --val_freq 0 --n_epochs 1 --n_epochs_decay 1"


class Session:
    """A kernel: a namespace in which cells run, and what was shown."""

    def __init__(self, **settings: str) -> None:
        self.shown: list[str] = []
        self.names: dict[str, Any] = {"shown": self.shown}
        self.run("settings")
        assert settings.keys() <= self.names.keys()
        self.names.update(settings)

    def run(self, *cells: str) -> None:
        """Run cells; what IPython would display is kept as text."""
        for cell in cells:
            source = CODE[cell].replace("from IPython.display import HTML, display", _AS_TEXT)
            exec(compile(source, cell, "exec"), self.names)


def test_cells_are_clean_and_in_order() -> None:
    assert list(CODE) == ["settings", "folder", "install", "train", "show", "test"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in CELLS if cell["cell_type"] == "code")
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)


def test_it_trains_goes_on_after_a_disconnect_shows_and_tests(
    aligned: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copytree(aligned, tmp_path / "data")
    place = {"NAME": "run", "DATA": "data", "FOLDER": str(tmp_path), "CODE": str(ROOT)}
    flags = f"{TINY} {OFTEN}"
    first = Session(**place, FLAGS=f"{flags} --max_steps 4")
    first.run("folder", "install", "train")
    out = capsys.readouterr().out
    assert "nothing was missing" in out and "beginning" in out and "torch==" in out
    second = Session(**place, FLAGS="--num_threads 0 --gpu_ids -1", TEST_FLAGS="--gpu_ids -1")
    second.run("folder", "install", "train", "show", "test")
    assert "going on with" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "checkpoints/run/losses.jsonl").read_text().splitlines()]
    steps = [line["total_iters"] for line in lines]
    assert steps == list(range(1, 13)), "every image once, over the two sessions"
    curves, results = second.shown
    assert curves.count("<svg") >= 4 and "G_L1" in curves and "data:image/png;base64," in curves
    assert results.count("<img") == 6 and "fake_B" in results
    assert not list((tmp_path / "checkpoints").glob("run_*")), "no second run beside it"


def test_installing_keeps_the_torch_that_is_there(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").touch()
    (project / "requirements.txt").write_text("torch>=2.8\nnumpy\nno-such-package>=1\nvisdom>=0.3\n# a note\n")
    called: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda words, check: called.append(words))
    session = Session(FOLDER=str(tmp_path), CODE=str(project))
    session.run("folder", "install")
    assert len(called) == 1 and called[0][-1] == "no-such-package>=1" and "torch>=2.8" not in called[0]
    kept = pathlib.Path(called[0][called[0].index("-c") + 1]).read_text()
    assert "torch==" in kept and "torchvision==" in kept


def test_a_missing_project_and_a_failed_training_say_so(tmp_path: pathlib.Path) -> None:
    session = Session(FOLDER=str(tmp_path), CODE=str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match="no train.py in it"):
        session.run("folder", "install")
    session = Session(FOLDER=str(tmp_path), CODE=str(ROOT), DATA="nothing", FLAGS="--gpu_ids -1")
    with pytest.raises(SystemExit, match=r"train\.py ended with exit code 2"):
        session.run("folder", "install", "train")
