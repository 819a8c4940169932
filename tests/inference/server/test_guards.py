"""Token, host names, body size and headers, before any route."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the server's libraries are not installed: requirements-serve.txt")
from fastapi.testclient import TestClient

from inference.server.app import make_app
from inference.server.guards import COOKIE
from inference.server.service import Service
from tests.inference.server.conftest import pixels, png

TOKEN = "a-secret-of-ours"
Connect = Callable[..., TestClient]


@pytest.fixture(scope="module")
def connect(make_shared_service: Callable[..., Service]) -> Iterator[Connect]:
    """Return a function from server flags to a client of such a server."""
    with contextlib.ExitStack() as stack:

        def make(base: str = "http://localhost", **flags: Any) -> TestClient:
            service = make_shared_service(**flags)
            return stack.enter_context(TestClient(make_app(service, service.options), base, follow_redirects=False))

        yield make


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"cookie": f"{COOKIE}={TOKEN}"}, {"cookie": '"'}],
)
def test_without_the_token_nothing_is_told(connect: Connect, headers: dict[str, str]) -> None:
    client = connect(token=TOKEN)
    for path in ("/api/runs", "/openapi.json", "/", "/?token=wrong", "/?token=%ff"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401 and "wants its token" in answer.json()["error"]
    assert client.post("/api/translate", files={"image": png(pixels())}, headers=headers).status_code == 401


def test_the_token_lets_in(connect: Connect) -> None:
    client = connect(token=TOKEN)
    assert client.get("/api/health").status_code == 200, "whether it lives is no secret"
    assert client.get("/api/runs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_browser_shows_the_token_once(connect: Connect) -> None:
    client = connect(token=TOKEN)
    answer = client.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert TOKEN not in cookie and "httponly" in cookie and "samesite=strict" in cookie
    assert client.get("/api/runs").status_code == 200, "the client keeps the cookie"


def test_a_local_server_answers_to_its_own_name_alone(connect: Connect) -> None:
    assert connect().get("/api/health", headers={"host": "rebound.example"}).status_code == 400
    assert connect().get("/api/health", headers={"host": "127.0.0.1:7860"}).status_code == 200
    assert connect(host="0.0.0.0").get("/api/health", headers={"host": "my-machine"}).status_code == 200


def test_every_answer_keeps_the_page_to_itself(connect: Connect) -> None:
    client = connect(token=TOKEN)
    for path in ("/api/health", "/api/runs", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "http" not in headers["content-security-policy"], "no address elsewhere is allowed"


def test_a_body_of_unknown_length_is_counted(connect: Connect) -> None:
    client = connect(max_upload=0.05)
    edge = "----edge"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'.encode()

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(20):
            yield bytes(10_000)

    answer = client.post(
        "/api/translate", content=body(), headers={"content-type": f"multipart/form-data; boundary={edge}"}
    )
    assert answer.status_code == 413 and "larger than 0.05 MB" in answer.json()["error"]
