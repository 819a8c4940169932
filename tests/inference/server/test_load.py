"""A real server under load: fifty clients at once, none lost, memory flat; it stops when asked and leaves nothing."""

from __future__ import annotations

import pathlib
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import a2b
from tests.inference.server.conftest import Server, from_png, pixels, png
from tests.inference.server.test_uploads import profile_bomb

pytest.importorskip("fastapi", reason="the server's libraries are not installed: requirements-serve.txt")
httpx = pytest.importorskip("httpx", reason="httpx is not installed: requirements-dev.txt")

CLIENTS, ROUNDS, GROWTH_MB = 50, 3, 60
SIZE = 96
pytestmark = pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="memory is read from /proc")


@pytest.fixture(scope="module")
def server(serve: Callable[..., Server]) -> Server:
    return serve("--name", "colour", "--page", "false")


def ask(server: Server, number: int, content: bytes) -> bytes:
    """Send one image as client ``number`` and return the result; AssertionError when there is none."""
    with httpx.Client(timeout=120) as client:
        answer = client.post(
            f"{server.url}api/translate",
            files={"image": ("a.png", content)},
            headers={"x-client": str(number)},
        )
    assert answer.status_code == 200, answer.text
    return answer.content


def test_fifty_clients_at_once(server: Server, runs_dir: pathlib.Path) -> None:
    images = [pixels(SIZE, SIZE, seed=seed) for seed in range(5)]
    contents, load = [png(image) for image in images], a2b.load(runs_dir / "colour", gpu_ids="-1")
    expected = [load(image) for image in images]
    memory = []
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in range(ROUNDS):
            answers = list(pool.map(lambda n: ask(server, n, contents[n % 5]), range(CLIENTS)))
            assert all(np.array_equal(from_png(answer), expected[n % 5]) for n, answer in enumerate(answers))
            memory.append(server.memory())
    assert memory[-1] - memory[0] < GROWTH_MB, f"resident megabytes after each round: {memory}"
    health = httpx.get(f"{server.url}api/health").json()
    assert (health["status"], health["waiting"], health["jobs"]) == ("ok", 0, 0)


def test_a_colour_profile_that_unpacks_to_much_takes_no_memory(server: Server) -> None:
    before = server.memory()
    ask(server, 1, profile_bomb())
    assert server.memory() - before < GROWTH_MB


def test_who_hangs_up_is_not_served(server: Server) -> None:
    content = png(pixels(700, 700))
    host, port = server.url.removeprefix("http://").rstrip("/").split(":")
    edge = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = edge + content + b"\r\n--edge--\r\n"
    head = f"POST /api/translate HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
    request = head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    for _ in range(8):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(request)
            time.sleep(0.2)
    end = time.monotonic() + 60
    while (health := httpx.get(f"{server.url}api/health").json())["jobs"]:
        assert time.monotonic() < end, health
        time.sleep(0.2)


def test_a_stopped_server_leaves_nothing(
    serve: Callable[..., Server], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = serve("--name", "colour", "--page", "false")
    (folder,) = tmp_path.glob("a2b_serve_*")
    files = [("images", (f"{n}.png", png(pixels(64, 64)))) for n in range(20)]
    assert httpx.post(f"{server.url}api/jobs", files=files, timeout=60).status_code == 202
    server.process.terminate()
    server.process.wait(60)
    assert not folder.exists()
