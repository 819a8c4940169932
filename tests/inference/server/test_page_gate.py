"""A browser's request can name no file of the server but uploads, and reach no address that the page does not use."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the page's library is not installed: requirements-serve.txt")
from fastapi.testclient import TestClient

from inference.server.app import make_app
from inference.server.service import Service
from tests.inference.server.conftest import pixels, png

JOIN = "/gradio_api/queue/join"
SHOW, TRANSLATE = 0, 1


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return an image of the server's that nobody has uploaded."""
    path = tmp_path_factory.mktemp("private") / "secret.png"
    path.write_bytes(png(pixels()))
    return path


@pytest.fixture(scope="module")
def client(make_shared_service: Callable[..., Service]) -> Iterator[TestClient]:
    service = make_shared_service(page=True, max_upload=1)
    with TestClient(make_app(service, service.options), "http://localhost", raise_server_exceptions=False) as client:
        yield client


def join(client: TestClient, path: Any, event: int = SHOW) -> Any:
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    data = [file] if event == SHOW else [file, "colour", "(none)", False, None]
    return client.post(JOIN, json={"data": data, "fn_index": event, "session_hash": "x"})


@pytest.mark.parametrize("event", [SHOW, TRANSLATE])
def test_no_file_of_the_server_is_read(client: TestClient, secret: pathlib.Path, event: int) -> None:
    upwards = "../" * 30
    for path in (
        str(secret),
        f"{upwards}{secret}",
        "/etc/passwd",
        "docs/images/demo.png",
        f"file://{secret}",
        7,
        [],
        None,
    ):
        answer = join(client, path, event)
        assert (answer.status_code, answer.json()) == (
            400,
            {"error": "a request of the page may name only files that were uploaded to it"},
        )


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.png", "https://example.com/x.png", "//example.com/x.png"])
def test_no_address_is_fetched(client: TestClient, address: str) -> None:
    assert join(client, address).status_code == 400


def test_a_path_is_found_wherever_it_stands(client: TestClient, secret: pathlib.Path) -> None:
    file = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    for data in ([[file]], [{"a": {"b": [file]}}], [{"path": {"path": str(secret)}}]):
        assert client.post(JOIN, json={"data": data, "fn_index": 0, "session_hash": "x"}).status_code == 400
    body = json.dumps({"data": [file], "fn_index": 0}).replace("path", "p\\u0061th")
    assert client.post(JOIN, content=body, headers={"content-type": "application/json"}).status_code == 400


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": "' + bytes(2_000_000)])
def test_broken_requests_are_refused(client: TestClient, body: bytes) -> None:
    assert client.post(JOIN, content=body).status_code in (400, 413)


def test_an_upload_may_be_named(client: TestClient) -> None:
    (path,) = client.post("/gradio_api/upload", files={"files": ("a.png", png(pixels()))}).json()
    assert join(client, path).status_code == 200
    assert join(client, str(pathlib.Path(path).parent / ".." / ".." / ".." / "x.png")).status_code == 400


@pytest.mark.parametrize("content_size", [1_100_000])
def test_uploads_of_the_page_are_limited_too(client: TestClient, content_size: int) -> None:
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", bytes(content_size))})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/proxy=http://127.0.0.1:9/"),
        ("GET", "/gradio_api/deep_link?session_hash=x"),
        ("POST", "/gradio_api/call/translate"),
        ("POST", "/gradio_api/run/translate"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/stream/x"),
        ("POST", "/login"),
        ("PUT", "/"),
        ("DELETE", "/gradio_api/upload"),
    ],
)
def test_what_the_page_does_not_use_is_not_there(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 404


def test_no_file_is_served_but_what_the_page_was_given(client: TestClient, secret: pathlib.Path) -> None:
    for path in (str(secret), "/etc/passwd", "..%2f..%2fetc%2fpasswd", "options.json", "a2b.py"):
        assert client.get(f"/gradio_api/file={path}").status_code in (403, 404)


def test_the_page_names_no_address_elsewhere(client: TestClient) -> None:
    """Nothing that a browser fetches by itself: scripts, styles, fonts, pictures."""
    page = client.get("/").text
    fetched = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']([^\"']+)", page)
    assert fetched and [address for address in fetched if re.match(r"(?:https?:)?//", address)] == []
    theme = client.get("/theme.css").text
    assert "@import" not in theme and "url(http" not in theme
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False and config["stylesheets"] == []
