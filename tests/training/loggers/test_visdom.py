"""Live windows against a real visdom server on a free loopback port."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from training.loggers import DisplayOptions, LoggerGroup, Position, RunInfo, Times
from training.loggers.base import LoggerUnavailable
from training.loggers.visdom import VisdomWindows, loss_group
from training.loggers.visdom_server import OwnServer, is_listening

pytest.importorskip("visdom", reason="visdom is not installed")
BEGIN = Position()
TIMES = Times(0.1, 0.01)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_info(folder, start=BEGIN):
    return RunInfo(folder, "demo", "pix2pix", {}, {}, 100, 100, 10, 10, start)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    own = OwnServer(free_port(), tmp_path_factory.mktemp("visdom"))
    own.wait()
    yield own
    own.stop()


def window(server, name):
    import visdom

    client = visdom.Visdom("http://localhost", port=server.port, use_incoming_socket=False, raise_exceptions=True)
    return json.loads(client.get_window_data(name))


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def started(server, folder, **changes):
    logger = VisdomWindows(DisplayOptions(display_port=server.port, **changes))
    logger.start(run_info(folder))
    return logger


def test_losses_are_appended_to_one_plot_per_group(server, tmp_path):
    logger = started(server, tmp_path, display_id=3)
    for i, nan in ((10, 1.0), (20, float("nan")), (30, 1.0)):
        logger.losses(Position(1, i, i, i), {"G_GAN": 0.1 * i, "G_L1": 5.0 * nan, "D_real": 0.5}, TIMES)
    traces = {trace["name"]: trace for trace in window(server, "3_loss_G")["content"]["data"]}
    assert set(traces) == {"G_GAN", "G_L1"}
    assert traces["G_GAN"]["x"] == [1.0, 2.0, 3.0]
    assert traces["G_GAN"]["y"] == pytest.approx([1.0, 2.0, 3.0])
    assert traces["G_L1"]["x"] == [1.0, 3.0]
    assert window(server, "3_loss_D")["content"]["data"][0]["y"] == [0.5, 0.5, 0.5]
    assert logger.server is None, "a running server is used, not replaced"


def test_resumed_lines_begin_with_the_earlier_losses(server, tmp_path):
    record = {"epoch": 1, "iters": 10, "step": 10, "total_iters": 10, "losses": {"G_GAN": 7.0}}
    (tmp_path / "losses.jsonl").write_text(json.dumps(record) + "\n")
    logger = started(server, tmp_path, display_id=4)
    logger.losses(Position(2, 10, 20, 20), {"G_GAN": 6.0}, TIMES)
    assert window(server, "4_loss_G")["content"]["data"][0]["y"] == [7.0, 6.0]


def test_images_come_in_a_grid_or_one_window_each(server, tmp_path):
    small, large = np.full((8, 8, 3), 200, np.uint8), np.zeros((8, 12), np.uint8)
    started(server, tmp_path, display_id=5).visuals(Position(2), {"real_A": small, "fake_B": small}, save=False)
    grid = window(server, "5_images")
    assert grid["content"]["src"].startswith("data:image/")
    assert "real_A, fake_B" in grid["title"]
    started(server, tmp_path, display_id=6).visuals(Position(2), {"real_A": small, "fake_B": large}, save=False)
    assert window(server, "6_fake_B")["type"] == "image"


def test_own_server_is_started_and_ended(tmp_path):
    port = free_port()
    logger = VisdomWindows(DisplayOptions(display_port=port))
    logger.start(run_info(tmp_path))
    assert logger.server is not None and is_listening("127.0.0.1", port)
    logger.losses(Position(1, 1, 1, 1), {"G": 1.0}, TIMES)
    logger.close()
    assert not is_listening("127.0.0.1", port)


def test_the_server_goes_without_torch():
    """Torch must seem not to be installed, also to scipy, which visdom 0.3 imports and which looks for it."""
    code = textwrap.dedent("""
        import importlib.util, sys
        from training.loggers.visdom_server import _WithoutTorch
        assert importlib.util.find_spec("torch")
        sys.meta_path.insert(0, _WithoutTorch())
        import visdom.server.run_server
        assert "torch" not in sys.modules
        try:
            import torch.nn
        except ModuleNotFoundError as error:
            print(error)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "No module named 'torch'\n", done.stderr


def test_what_keeps_the_server_from_starting_is_told(tmp_path, monkeypatch):
    (tmp_path / "visdom").mkdir()
    (tmp_path / "visdom" / "__init__.py").write_text("raise RuntimeError('no windows today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    own = OwnServer(free_port(), tmp_path)
    with pytest.raises(LoggerUnavailable, match=r"did not start on port \d+ \(RuntimeError: no windows today\)"):
        own.wait()
    assert own.process.returncode == 1, "ended by the error, not by an abort"


def test_a_training_that_ends_first_does_not_wait_for_the_server(tmp_path, monkeypatch, capfd):
    (tmp_path / "visdom").mkdir()
    (tmp_path / "visdom" / "__init__.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    logger = VisdomWindows(DisplayOptions(display_port=free_port()))
    group = LoggerGroup([logger])
    group.start(run_info(tmp_path))
    wait_until(lambda: logger.server is not None)
    began = time.monotonic()
    group.close()
    assert time.monotonic() - began < 10
    (line,) = capfd.readouterr().err.splitlines()
    assert line == "visdom: the training ended before the server for its windows had started"
    assert logger.server is None


def test_the_page_opens_and_nothing_beside_its_files_is_served(server):
    def get(path):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()

    status, page = get("/")
    assert status == 200 and b"main.js" in page
    assert get("/static/js/main.js")[0] == 200
    assert get("/static/../VERSION")[0] != 200 and get("/static/%2e%2e/VERSION")[0] != 200


def test_own_server_dies_with_a_killed_training(tmp_path):
    port = free_port()
    code = textwrap.dedent(f"""
        import pathlib, time
        from training.loggers.visdom_server import OwnServer
        server = OwnServer({port}, pathlib.Path({str(tmp_path)!r})); server.wait()
        print("up", flush=True); time.sleep(60)
    """)
    training = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert training.stdout is not None and training.stdout.readline() == b"up\n"
    os.kill(training.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    training.wait()
    wait_until(lambda: not is_listening("127.0.0.1", port))


def test_server_killed_midway_costs_one_line_and_no_time(tmp_path, capfd):
    own = OwnServer(free_port(), tmp_path)
    own.wait()
    group = LoggerGroup([VisdomWindows(DisplayOptions(display_port=own.port))])
    group.start(run_info(tmp_path))
    group.losses(Position(1, 1, 1, 1), {"G": 1.0}, TIMES)
    wait_until(lambda: "1_loss_G" in window(own, None))
    own.process.kill()
    own.process.wait()
    began = time.monotonic()
    for i in range(2, 200):
        group.losses(Position(1, i, i, i), {"G": 1.0}, TIMES)
    assert time.monotonic() - began < 1.0
    group.close()
    own.stop()
    out, err = capfd.readouterr()
    assert [line for line in out.splitlines() if "Error" in line] == [], "visdom's own complaints stay silent"
    lines = [line for line in err.splitlines() if "no longer answers" in line]
    assert len(lines) == 1 and "training goes on without it" in lines[0]


def test_no_server_elsewhere_is_one_line(tmp_path):
    logger = VisdomWindows(DisplayOptions(display_server="http://127.0.0.2", display_port=free_port()))
    with pytest.raises(LoggerUnavailable, match="no server answers at http://127.0.0.2"):
        logger.start(run_info(tmp_path))


def test_something_else_on_the_port_is_one_line(tmp_path):
    code = "import http.server as h, sys; s = h.HTTPServer(('127.0.0.1', 0), h.BaseHTTPRequestHandler);"
    code += "print(s.server_port, flush=True); s.serve_forever()"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert other.stdout is not None
    port = int(other.stdout.readline())
    try:
        with pytest.raises(LoggerUnavailable, match="does not answer as a visdom server"):
            VisdomWindows(DisplayOptions(display_port=port)).start(run_info(tmp_path))
    finally:
        other.kill()
        other.wait()


def test_missing_visdom_names_the_command(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "visdom", None)
    group = LoggerGroup([VisdomWindows(DisplayOptions())])
    group.start(run_info(tmp_path))
    group.close()
    (line,) = capfd.readouterr().err.splitlines()
    assert "pip install --no-build-isolation visdom==0.2.4" in line


@pytest.mark.parametrize(
    ("name", "group"),
    [
        *(("G_GAN", "G"), ("D_A", "D"), ("cycle_B", "cycle"), ("regression", "regression")),
        *(("val_psnr", "val_psnr"), ("val_psnr_ema", "val_psnr"), ("val_ssim_batch", "val_ssim")),
    ],
)
def test_groups(name, group):
    assert loss_group(name) == group
