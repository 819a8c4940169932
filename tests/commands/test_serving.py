"""serve.py before it serves: what is missing or in the way is said in one line."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import a2b
from commands.serving import ServingSession
from models.files import save_networks
from options.serve_options import ServeOptions
from util.errors import UserError


@pytest.fixture
def words(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the flags that serve a small run; what serving sets in the environment is undone."""
    monkeypatch.setitem(os.environ, "A2B_MAX_PIXELS", "1000")
    (tmp_path / "run").mkdir()
    save_networks({"G": a2b.build_generator("resnet_6blocks", ngf=4)}, tmp_path / "run", "latest")
    return ["--name", "run", "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1"]


@pytest.mark.parametrize(
    ("missing", "page", "needed"),
    [("gradio", True, "gradio"), ("gradio", False, None), ("fastapi", False, "fastapi"), ("uvicorn", True, "uvicorn")],
)
def test_missing_libraries_name_the_command(
    words: list[str], monkeypatch: pytest.MonkeyPatch, missing: str, page: bool, needed: str | None
) -> None:
    def find(name: str, *rest: Any) -> object:
        return None if name == missing else object()

    monkeypatch.setattr(importlib.util, "find_spec", find)
    options = ServeOptions().parse([*words, "--page", str(page)])
    if needed is None:
        assert set(ServingSession(options).devices[0]) == {"run"}
        return
    with pytest.raises(UserError, match=f"serve.py needs {needed}: pip install -r requirements-serve.txt"):
        ServingSession(options)


def test_the_readers_learn_the_limit_of_pixels(words: list[str]) -> None:
    ServingSession(ServeOptions().parse([*words, "--max_pixels", "123456", "--page", "false"]))
    assert os.environ["A2B_MAX_PIXELS"] == "123456"


def test_a_port_in_use_is_said(words: list[str]) -> None:
    pytest.importorskip("fastapi", reason="the server's libraries are not installed: requirements-serve.txt")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        session = ServingSession(ServeOptions().parse([*words, "--port", port, "--page", "false"]))
        with pytest.raises(UserError, match=f"--port {port}: .*--port 0 for a free port"):
            session.run()


def test_the_link_that_is_printed_opens_the_page_whatever_the_token(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gradio", reason="the page's library is not installed: requirements-serve.txt")
    session = ServingSession(ServeOptions().parse([*words, "--token", "a+b&c#d e"]))
    session._greet("http://127.0.0.1:7860/")
    link = capsys.readouterr().out.split("open ")[1].strip()
    assert parse_qs(urlsplit(link).query) == {"token": ["a+b&c#d e"]}


def test_several_devices_hold_every_run(words: list[str]) -> None:
    session = ServingSession(ServeOptions().parse([*words, "--gpu_ids", "-1,-1", "--page", "false"]))
    first, second = session.devices
    assert first["run"].translator is not second["run"].translator


def test_runs_are_served_together_beside_each_alone(words: list[str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    save_networks({"G": a2b.build_generator("resnet_6blocks", ngf=2)}, tmp_path / "other", "latest")
    words[1] = "run,other"
    (runs,) = ServingSession(ServeOptions().parse([*words, "--ensemble", "median", "--page", "false"])).devices
    assert list(runs) == ["run", "other", "run,other"]
    assert [len(run.translator.predictor.models) for run in runs.values()] == [1, 1, 2]
    assert runs["run,other"].translator.predictor.ensemble.how == "median"
