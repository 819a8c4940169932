"""The set-up: what make would run, the installer's decisions, the list of requirements."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
from types import ModuleType

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> list[str]:
    done = subprocess.run(
        ["make", "-n", *arguments], capture_output=True, text=True, cwd=ROOT, check=True, env=_clean()
    )
    return done.stdout.splitlines()


def _clean() -> dict[str, str]:
    """The environment without what an outer make (this test may run under one) hands on."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


@pytest.fixture
def installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ci_install", ROOT / ".ci/install.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_make
def test_make_demo_sets_up_and_runs_the_three_scripts(tmp_path):
    lines = make("demo", f"VENV={tmp_path}/venv", "PYTHON=python3.12", "TORCH_INDEX=https://index", "PIP_ARGS=-v")
    assert lines[0] == (
        f'python3.12 .ci/install.py --venv {tmp_path}/venv --torch_index "https://index" --pip_args "-v" '
        "requirements.txt"
    )
    python = f"{tmp_path}/venv/bin/python"
    assert [line for line in lines if line.startswith(python)] == [
        f"{python} prepare.py demo --kind sem_depth --out demo_data",
        f"{python} train.py --dataroot demo_data --name demo --config recipes/demo.yaml",
        f"{python} test.py --dataroot demo_data --name demo",
    ]
    assert "results/demo/test_latest/index.html" in lines[-1]


@needs_make
def test_make_check_lints_checks_types_and_tests(tmp_path):
    lines = [line for line in make("check", f"VENV={tmp_path}/v") if line.startswith(f"{tmp_path}/v/bin/python")]
    assert [line.split()[2] for line in lines] == ["ruff", "mypy", "pytest"]


@needs_make
def test_a_finished_set_up_is_not_repeated(tmp_path):
    for stamp in (".installed", ".installed-dev"):
        (tmp_path / stamp).touch()
    assert not any("install.py" in line for line in make("test", f"VENV={tmp_path}"))


def test_ci_runs_make_check():
    script = (ROOT / ".ci/run").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "set -euo pipefail" in script and script.rstrip().endswith("make check")


def test_an_old_python_gets_one_line(installer, monkeypatch):
    monkeypatch.setattr(installer.sys, "version_info", (3, 9, 1, "final", 0))
    with pytest.raises(SystemExit) as stopped:
        installer.main()
    assert re.fullmatch(r"error: Python 3\.9 is too old: .*", str(stopped.value))


def run_installer(installer, monkeypatch, *arguments, torch="", importable="yes"):
    """Run main with every external command replaced; return the pip commands."""
    commands: list[list[str]] = []
    monkeypatch.setattr(installer.sys, "argv", ["install.py", *arguments])
    monkeypatch.setattr(installer, "create", lambda venv: None)
    monkeypatch.setattr(installer, "torch_version", lambda python: torch)
    monkeypatch.setattr(installer, "output", lambda command: importable)
    monkeypatch.setattr(installer.subprocess, "call", lambda command, env=None: commands.append(command[5:]) or 0)
    installer.main()
    return commands


def test_the_size_is_said_before_torch_is_fetched(installer, monkeypatch, capsys):
    monkeypatch.setattr(installer.sys, "platform", "linux")
    commands = run_installer(installer, monkeypatch, "requirements.txt")
    assert commands[0] == ["torch>=2.8", "torchvision"]
    assert "GB to download" in capsys.readouterr().out


def test_an_index_of_its_own_for_torch_alone(installer, monkeypatch):
    flags = ("--torch_index", "https://cpu", "--pip_args=--no-cache-dir -v", "requirements.txt")
    commands = run_installer(installer, monkeypatch, *flags)
    assert commands[0] == ["torch>=2.8", "torchvision", "--index-url", "https://cpu", "--no-cache-dir", "-v"]
    assert commands[1] == ["-r", "requirements.txt", "--no-cache-dir", "-v"]


def test_an_installed_torch_is_kept(installer, monkeypatch, capsys):
    commands = run_installer(installer, monkeypatch, "requirements.txt", torch="2.9.0+cpu")
    assert commands[0] == ["-r", "requirements.txt", "torch==2.9.0+cpu"]
    assert "download" not in capsys.readouterr().out


@pytest.mark.parametrize(("version", "wanted"), [((3, 11, 5), True), ((3, 12, 1), False)])
def test_visdom_0_2_on_python_3_11_alone(installer, monkeypatch, version, wanted):
    monkeypatch.setattr(installer.sys, "version_info", version)
    monkeypatch.setattr(installer, "check_torchvision", lambda python: None)
    commands = run_installer(installer, monkeypatch, "requirements.txt", torch="2.9.0", importable="")
    assert any("visdom==0.2.4" in command for command in commands) is wanted


def test_a_torchvision_that_does_not_fit_is_said(installer, monkeypatch):
    with pytest.raises(SystemExit, match="torchvision does not fit the installed torch 2.9.0"):
        run_installer(installer, monkeypatch, "requirements.txt", torch="2.9.0", importable="")


def test_every_third_party_import_is_a_requirement():
    listed = {re.split(r"[>=;\[ ]", line)[0].lower() for line in (ROOT / "requirements.txt").read_text().splitlines()}
    assert {"torch", "torchvision", "numpy", "pillow", "dominate", "lpips", "torchmetrics", "timm", "visdom"} <= listed
    assert 'visdom>=0.3; python_version >= "3.12"' in (ROOT / "requirements.txt").read_text()
