"""Small runs, a service over them, and a real server that is always stopped again."""

from __future__ import annotations

import contextlib
import pathlib
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pytest

import a2b
from commands.build import build_model
from commands.joined_runs import open_run
from inference.server.runs import ServedRun
from inference.server.service import Service
from inference.server.settings import ServerOptions
from models.files import save_networks
from options.saved import save_options
from options.train_options import TrainOptions
from tests.conftest import ROOT, environment

START_SECONDS, STOP_SECONDS = 120, 30


def pixels(height: int = 40, width: int = 52, channels: int = 3, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """Return (H,W,C) smooth values over the whole range of the dtype."""
    noise = np.random.default_rng(seed).random((height, width, channels)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3).reshape(noise.shape)
    unit = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return unit if dtype == "float32" else np.rint(unit * np.iinfo(dtype).max).astype(dtype)


def png(values: np.ndarray) -> bytes:
    """Return (H,W,C) RGB or grey values as the bytes of a PNG."""
    ordered = values[..., ::-1] if values.shape[2] == 3 else values
    done, content = cv2.imencode(".png", ordered)
    assert done
    return content.tobytes()


def from_png(content: bytes) -> np.ndarray:
    """Return (H,W,C) RGB or grey values in the depth of the file."""
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    return values[..., ::-1] if values.ndim == 3 else values[..., None]


@pytest.fixture(scope="session")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return a folder of runs with seeded weights: colour, grey, and one that fills holes."""
    folder = tmp_path_factory.mktemp("runs")
    for name, channels in (("colour", 3), ("grey", 1)):
        small: dict[str, Any] = {"ngf": 4, "init_gain": 0.3, "norm": "batch", "no_dropout": True}
        network = a2b.build_generator("resnet_6blocks", channels, channels, **small)
        (folder / name).mkdir()
        save_networks({"G": network}, folder / name, "latest")
    words = ["--dataroot", ".", "--model", "inpaint", "--netG", "resnet_6blocks", "--ngf", "2", "--gpu_ids", "-1"]
    options = TrainOptions().parse(words)
    (folder / "filler").mkdir()
    save_options(options, folder / "filler", "train")
    save_networks(build_model(options, train=False).networks(), folder / "filler", "latest")
    return folder


@pytest.fixture(scope="session")
def devices(runs_dir: pathlib.Path) -> list[dict[str, ServedRun]]:
    """Return all runs, opened on one device."""
    names = ("colour", "grey", "filler")
    return [{name: ServedRun(name, open_run(runs_dir / name, "latest", None, "-1")) for name in names}]


@contextlib.contextmanager
def services(devices: list[dict[str, ServedRun]]) -> Iterator[Callable[..., Service]]:
    """Yield a function from server flags to a service; all are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(**flags: Any) -> Service:
            service = Service(devices, ServerOptions(**{"page": False} | flags))
            stack.callback(service.close)
            return service

        yield make


@pytest.fixture
def make_service(devices: list[dict[str, ServedRun]]) -> Iterator[Callable[..., Service]]:
    """Return a function from server flags to a service that is closed after the test."""
    with services(devices) as make:
        yield make


@pytest.fixture(scope="module")
def make_shared_service(devices: list[dict[str, ServedRun]]) -> Iterator[Callable[..., Service]]:
    """Return a function from server flags to a service that is closed after the module's last test."""
    with services(devices) as make:
        yield make


@dataclass(frozen=True)
class Server:
    """A running serve.py."""

    url: str
    process: subprocess.Popen[str]

    def memory(self) -> float:
        """Return the resident memory in megabytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024


@pytest.fixture(scope="module")
def serve(runs_dir: pathlib.Path) -> Iterator[Callable[..., Server]]:
    """Return a function that starts ``python serve.py FLAGS`` on a free port of the loopback address.

    What it has started is stopped after the module's last test.
    """
    processes: list[subprocess.Popen[str]] = []

    def start(*flags: object) -> Server:
        words = ["serve.py", "--checkpoints_dir", runs_dir, "--gpu_ids", "-1", "--port", "0", *flags]
        command = [sys.executable, *map(str, words)]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        return Server(_address(process), process)

    yield start
    for process in processes:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[str]) -> str:
    """Wait for the line that says where the server listens; what comes after it is read and dropped."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    seen = []
    while (line := lines.get(timeout=START_SECONDS)) is not None:
        seen.append(line)
        found = re.search(r"described at (http://\S+/)openapi.json", line)
        if found:
            return found[1]
    raise AssertionError("serve.py ended:\n" + "".join(seen))
