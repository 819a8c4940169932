"""Weight files over HTTP, from a server on loopback: fetched once, checked, whole or not there, never run."""

from __future__ import annotations

import hashlib
import http.server
import io
import pathlib
import pickle
import threading
from collections.abc import Iterator

import pytest
import torch

import a2b
from models.networks.foreign import load_weights
from options.test_options import TestOptions
from util.errors import UserError
from util.weights import is_remote, local_weights, weights_folder

CONTENT = b"weights" * 1000
RIGHT = f"#sha256={hashlib.sha256(CONTENT).hexdigest()}"


class Server:
    """What was asked for, and what is answered."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.content, self.cut = CONTENT, 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if "missing" in self.path:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(outer.content) + outer.cut))
                self.end_headers()
                self.wfile.write(outer.content)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def server(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("A2B_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join(5)


def test_a_url_is_fetched_once_and_keeps_its_name(server: Server) -> None:
    first = local_weights(f"{server.url}/a/G.pth{RIGHT}", "--weights")
    again = local_weights(f"{server.url}/a/G.pth{RIGHT}", "--weights")
    assert first == again and first.name == "G.pth" and first.read_bytes() == CONTENT
    assert server.asked == ["/a/G.pth"] and weights_folder() in first.parents
    assert is_remote("hf:a/b/c.pth") and is_remote(server.url) and not is_remote("models/a.pth")


def test_another_hash_is_refused_and_nothing_is_kept(server: Server) -> None:
    wrong = f"#sha256={'0' * 64}"
    with pytest.raises(UserError, match=r"--init_from .*G\.pth: its sha256 is .*, not 0000"):
        local_weights(f"{server.url}/G.pth{wrong}", "--init_from")
    assert not [path for path in weights_folder().rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_file_changed_in_the_cache_is_noticed(server: Server) -> None:
    path = local_weights(f"{server.url}/G.pth{RIGHT}", "--weights")
    path.write_bytes(b"other")
    with pytest.raises(UserError, match="it is another file, or was changed"):
        local_weights(f"{server.url}/G.pth{RIGHT}", "--weights")


def test_https_that_leads_to_plain_http_needs_a_hash(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer(io.BytesIO):
        url, headers = f"{server.url}/G.pth", {"Content-Length": str(len(CONTENT))}

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer(CONTENT))
    with pytest.raises(UserError, match=r"--weights https://example.org/G.pth: leads to http://.*; add #sha256="):
        local_weights("https://example.org/G.pth", "--weights")
    assert local_weights(f"https://example.org/G.pth{RIGHT}", "--weights").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["missing.pth", "G.pth"])
def test_a_missing_or_cut_file_is_one_line(server: Server, name: str) -> None:
    server.cut = 5
    with pytest.raises(UserError) as caught:
        local_weights(f"{server.url}/{name}{RIGHT}", "--lpips_weights")
    message = str(caught.value)
    assert message.startswith(f"--lpips_weights {server.url}/{name}: cannot be fetched (") and "\n" not in message
    assert ("HTTP 404" in message) == (name == "missing.pth")


def test_offline_is_one_line(server: Server) -> None:
    server.http.server_close()
    with pytest.raises(UserError, match=r"cannot be fetched \(.*\); fetch it elsewhere and give the file"):
        local_weights(f"{server.url}/G.pth{RIGHT}", "--weights")


def test_a_hub_name_becomes_its_url(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    local_weights(f"hf:some-one/my.models/deep/G x.safetensors@v1/2{RIGHT}", "--weights")
    local_weights(f"hf:some-one/my.models/G.safetensors{RIGHT}", "--weights")
    assert server.asked == [
        "/some-one/my.models/resolve/v1%2F2/deep/G%20x.safetensors",
        "/some-one/my.models/resolve/main/G.safetensors",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http://127.0.0.1/G.pth", "add #sha256"),
        ("https://127.0.0.1/page.html", "must name a .pth"),
        ("https://127.0.0.1/..%2F..%2Fx.pth%00", "must name a .pth"),
        ("hf:owner", "write hf:OWNER/REPOSITORY/FILE"),
        ("G.pth#sha256=12", "64 hexadecimal digits"),
        (f"nowhere/G.pth#sha256={'0' * 64}", "cannot be read"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_asked(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        local_weights(text, "--weights")


def test_a_path_is_checked_by_its_hash(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "G.pth"
    path.write_bytes(CONTENT)
    assert local_weights(path, "--weights") == local_weights(f"{path}{RIGHT}", "--weights") == path
    with pytest.raises(UserError, match="its sha256 is"):
        local_weights(f"{path}#sha256={'1' * 64}", "--weights")


class Bomb:
    """A pickle that would leave a file behind."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (self.path, "w"))


def test_a_fetched_pickle_is_never_run(server: Server, tmp_path: pathlib.Path) -> None:
    server.content = pickle.dumps(Bomb(tmp_path / "owned"))
    digest = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(UserError, match="could run code|cannot be read as weights"):
        load_weights(local_weights(f"{server.url}/G.pth#sha256={digest}", "--weights"))
    assert not (tmp_path / "owned").exists()


def test_test_py_takes_a_url(server: Server, tmp_path: pathlib.Path) -> None:
    torch.save(a2b.build_generator("compact", ngf=4, n_convs=1, scale=4).state_dict(), tmp_path / "x4.pth")
    server.content = (tmp_path / "x4.pth").read_bytes()
    digest = hashlib.sha256(server.content).hexdigest()
    url = f"{server.url}/x4.pth#sha256={digest}"
    options = TestOptions().parse(["--weights", url, "--input", "a.png"])
    assert options.values["netG"] == "compact" and options.values["scale"] == 4 and options.values["name"] == "x4"
